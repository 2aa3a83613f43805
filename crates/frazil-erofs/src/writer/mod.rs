//! A tree in, the bytes of a metadata area out: plan where everything goes, then emit it.
//!
//! The plan is needed first because dirents name inodes that come later, and because a file's absolute
//! address is only known once the size of the metadata area is. Both passes are linear in the tree and
//! do not recurse.

mod allocator;
mod check;
mod dirents;
mod emit;
mod order;
mod plan;
mod superblock;
mod xattrs;

use crate::error::ErofsError;
use crate::tree::Tree;

/// What an image has besides its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// The image's identity in its superblock; derive it from the content to stay deterministic.
    pub uuid: [u8; 16],
    /// Blocks of 4 KiB in the data area.
    pub data_blocks: u64,
}

/// A finished metadata area: the first bytes of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The area, a multiple of 4 KiB; the data area starts right after it.
    pub bytes: Vec<u8>,
    /// Blocks of 4 KiB in the area: the absolute address of the data area's block 0.
    pub blocks: u64,
    /// Inodes in the area.
    pub inodes: u64,
}

/// Writes a tree's metadata area.
///
/// The same tree and parameters give the same bytes. Inodes that no directory names are left out.
///
/// # Errors
///
/// Whatever is wrong with the tree, naming the inode; see the first half of [`ErofsError`].
pub fn write(tree: &Tree, params: &Params) -> Result<Metadata, ErofsError> {
    let plan = plan::Plan::new(tree, params.data_blocks)?;
    let mut bytes = emit::emit(tree, &plan)?;
    superblock::stamp(&mut bytes, &plan, params)?;
    Ok(Metadata { bytes, blocks: plan.metadata_blocks, inodes: plan.inodes.len() as u64 })
}
