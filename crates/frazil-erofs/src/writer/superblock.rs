//! The superblock, written last: its checksum covers the rest of the first block.

use zerocopy::{FromZeros, IntoBytes};

use super::Params;
use super::plan::Plan;
use crate::crc32c::crc32c;
use crate::error::ErofsError;
use crate::layout::{
    BLOCK_SIZE, BLOCK_SIZE_BITS, COMPAT_MTIME, COMPAT_SB_CHECKSUM, RawSuperblock, SUPERBLOCK_MAGIC,
    SUPERBLOCK_OFFSET, SUPERBLOCK_SIZE,
};
use crate::tree::Tree;

pub(super) fn stamp(bytes: &mut [u8], plan: &Plan, params: &Params) -> Result<(), ErofsError> {
    let root = plan.placement(Tree::ROOT).ok_or(ErofsError::RootNotDirectory)?;
    let mut superblock = RawSuperblock {
        magic: SUPERBLOCK_MAGIC.into(),
        feature_compat: (COMPAT_SB_CHECKSUM | COMPAT_MTIME).into(),
        block_size_bits: BLOCK_SIZE_BITS,
        // The root is placed first: in block 0, or behind it if its xattrs are large.
        root_nid: (root.nid.0 as u16).into(),
        inode_count: (plan.inodes.len() as u64).into(),
        block_count: plan.image_blocks.into(),
        uuid: params.uuid,
        ..RawSuperblock::new_zeroed()
    };
    let end = SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE;
    bytes[SUPERBLOCK_OFFSET..end].copy_from_slice(superblock.as_bytes());
    superblock.checksum = crc32c(&bytes[SUPERBLOCK_OFFSET..BLOCK_SIZE]).into();
    bytes[SUPERBLOCK_OFFSET..end].copy_from_slice(superblock.as_bytes());
    Ok(())
}
