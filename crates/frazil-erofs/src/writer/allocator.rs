//! Hands out the metadata area from its start: slots for inodes, and whole blocks.
//!
//! Inodes go on filling the block that is open for them while blocks are handed out behind it, so mixing
//! the two wastes nothing. The invariant: a slot of at most a block never crosses into another block, which
//! is what the kernel demands of an inline tail.

use crate::layout::{BLOCK_BYTES, INODE_SLOT_BYTES};

#[derive(Debug)]
pub(super) struct Allocator {
    /// The first byte that no inode has taken, in the open block.
    open: u64,
    /// Where the open block ends.
    open_end: u64,
    /// The first block that is not taken.
    next_block: u64,
}

impl Allocator {
    /// Starts behind the bytes that are reserved in the first block.
    pub(super) fn new(reserved_len: u64) -> Self {
        Self { open: reserved_len, open_end: BLOCK_BYTES, next_block: 1 }
    }

    /// A byte offset for an inode with all that is stored right behind it.
    pub(super) fn inode(&mut self, len: u64) -> u64 {
        let mut start = self.open.next_multiple_of(INODE_SLOT_BYTES);
        if start + len > self.open_end {
            start = self.blocks(len.div_ceil(BLOCK_BYTES)) * BLOCK_BYTES;
            self.open_end = self.next_block * BLOCK_BYTES;
        }
        self.open = start + len;
        start
    }

    /// The number of the first of `count` blocks in a row.
    pub(super) fn blocks(&mut self, count: u64) -> u64 {
        let first = self.next_block;
        self.next_block += count;
        first
    }

    /// Blocks handed out so far, the open one included.
    pub(super) fn used_blocks(&self) -> u64 {
        self.next_block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inodes_fill_the_open_block_around_blocks_that_are_handed_out() {
        let mut allocator = Allocator::new(1152);
        assert_eq!(allocator.inode(70), 1152);
        assert_eq!(allocator.blocks(2), 1);
        assert_eq!(allocator.inode(64), 1248);
        assert_eq!(allocator.inode(4096), 3 * 4096);
        assert_eq!(allocator.inode(64), 4 * 4096);
        assert_eq!(allocator.used_blocks(), 5);
    }

    #[test]
    fn a_slot_that_just_fits_stays_and_one_byte_more_moves_on() {
        let mut allocator = Allocator::new(0);
        assert_eq!(allocator.inode(4096 - 64), 0);
        assert_eq!(allocator.inode(64), 4096 - 64);
        let mut allocator = Allocator::new(0);
        assert_eq!(allocator.inode(4096 - 64), 0);
        assert_eq!(allocator.inode(65), 4096);
    }
}
