//! How much of a chunk was read since it was decoded, by block: what was read is in the kernel's page cache, so a
//! chunk that is covered has done its work. It decides what is kept longer, and nothing else.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use frazil_erofs::BLOCK_SIZE;

use super::blocks::{Blocks, blocks_of};

/// The blocks of one chunk, counted from its own start.
pub(super) struct Coverage {
    blocks: Blocks,
    uncovered: AtomicU32,
    was_read: AtomicBool,
}

/// What a read was to its chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Read {
    /// Nothing of it had been read before.
    pub(super) first: bool,
    /// Nothing is left to be read after.
    pub(super) last: bool,
}

impl Coverage {
    /// Nothing was read yet of a chunk of `len` bytes.
    pub(super) fn new(len: usize) -> Self {
        let blocks = len.div_ceil(BLOCK_SIZE);
        Self {
            blocks: Blocks::new(blocks),
            // A chunk has a thousand blocks at the most.
            uncovered: AtomicU32::new(blocks as u32),
            was_read: AtomicBool::new(false),
        }
    }

    /// These bytes are read now. A block that is read in part counts as read.
    pub(super) fn read(&self, range: &Range<usize>) -> Read {
        let first = !self.was_read.load(Relaxed) && !self.was_read.swap(true, Relaxed);
        let covered = self.blocks.set(blocks_of(range));
        let last = covered > 0 && self.uncovered.fetch_sub(covered, Relaxed) == covered;
        Read { first, last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_has_served_when_every_block_was_read_once() {
        let coverage = Coverage::new(100 * BLOCK_SIZE + 5);
        assert_eq!(coverage.read(&(0..1)), Read { first: true, last: false });
        assert_eq!(coverage.read(&(0..63 * BLOCK_SIZE)), Read { first: false, last: false });
        assert_eq!(
            coverage.read(&(64 * BLOCK_SIZE..100 * BLOCK_SIZE + 5)),
            Read { first: false, last: false }
        );
        assert_eq!(coverage.read(&(63 * BLOCK_SIZE + 7..64 * BLOCK_SIZE)), Read { first: false, last: true });
        assert_eq!(coverage.read(&(0..100 * BLOCK_SIZE + 5)), Read { first: false, last: false });
    }
}
