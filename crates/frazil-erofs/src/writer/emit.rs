//! Puts a planned tree into bytes: inodes with their xattrs and tails, symlink targets, dirent blocks.

use zerocopy::IntoBytes;

use super::dirents::{Entry, Target};
use super::plan::{Content, Placement, Plan};
use super::{check, dirents, xattrs};
use crate::error::ErofsError;
use crate::layout::{BLOCK_BYTES, BLOCK_SIZE, FORMAT_EXTENDED, FORMAT_LAYOUT_SHIFT, INODE_SIZE, RawInode};
use crate::tree::{Inode, InodeIndex, InodeKind, Tree};
use crate::types::{FileType, Nid};

/// The whole metadata area but for the superblock.
pub(super) fn emit(tree: &Tree, plan: &Plan) -> Result<Vec<u8>, ErofsError> {
    let len = usize::try_from(plan.metadata_blocks * BLOCK_BYTES)
        .map_err(|_| ErofsError::ImageTooLarge { blocks: plan.metadata_blocks })?;
    let mut area = Area { bytes: vec![0; len] };
    for (number, &index) in (1..).zip(&plan.inodes) {
        let (Some(inode), Some(placement)) = (tree.get(index), plan.placement(index)) else { continue };
        area.put_inode(index, inode, placement, plan, number)?;
    }
    for &(directory, parent) in &plan.directories {
        area.put_directory(tree, plan, directory, parent);
    }
    Ok(area.bytes)
}

struct Area {
    bytes: Vec<u8>,
}

impl Area {
    fn put_inode(
        &mut self,
        index: InodeIndex,
        inode: &Inode,
        placement: &Placement,
        plan: &Plan,
        ino: u32,
    ) -> Result<(), ErofsError> {
        let raw = RawInode {
            format: (FORMAT_EXTENDED | (placement.layout() << FORMAT_LAYOUT_SHIFT)).into(),
            xattr_count: xattrs::unit_count(placement.xattr_len as usize).into(),
            mode: (inode.kind.file_type().mode_bits() | inode.mode).into(),
            reserved: 0.into(),
            size: match inode.kind {
                InodeKind::File { size, .. } => size,
                _ => placement.content.len,
            }
            .into(),
            address: address(index, inode, placement, plan)?.into(),
            ino: ino.into(),
            uid: inode.uid.into(),
            gid: inode.gid.into(),
            mtime: inode.mtime.seconds.cast_unsigned().into(),
            mtime_nanos: inode.mtime.nanos.into(),
            nlink: placement.nlink.into(),
            reserved2: [0; 16],
        };
        let at = placement.offset();
        self.bytes[at..at + INODE_SIZE].copy_from_slice(raw.as_bytes());
        let xattrs_at = at + INODE_SIZE;
        xattrs::emit(&inode.xattrs, &mut self.bytes[xattrs_at..xattrs_at + placement.xattr_len as usize]);
        if let InodeKind::Symlink(target) = &inode.kind {
            self.put_content(placement, 0, target);
        }
        Ok(())
    }

    fn put_directory(&mut self, tree: &Tree, plan: &Plan, directory: InodeIndex, parent: InodeIndex) {
        let (Some(inode), Some(placement)) = (tree.get(directory), plan.placement(directory)) else { return };
        let InodeKind::Directory(children) = &inode.kind else { return };
        let entries = dirents::names(children).filter_map(|(name, target)| {
            let index = match target {
                Target::Itself => directory,
                Target::Parent => parent,
                Target::Child(index) => index,
            };
            let (nid, file_type) = dirent(tree, plan, index)?;
            Some(Entry { name, nid, file_type })
        });
        dirents::pack(entries, |block, bytes| self.put_content(placement, block, bytes));
    }

    /// Puts one block's worth of an inode's content where the plan has it.
    fn put_content(&mut self, placement: &Placement, block: u64, bytes: &[u8]) {
        let Content { len, body_block, tail_len } = placement.content;
        let inline = tail_len > 0 && block == (len - 1) / BLOCK_BYTES;
        let at = if inline {
            placement.offset() + INODE_SIZE + placement.xattr_len as usize
        } else {
            (body_block + block) as usize * BLOCK_SIZE
        };
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

fn dirent(tree: &Tree, plan: &Plan, index: InodeIndex) -> Option<(Nid, FileType)> {
    Some((plan.placement(index)?.nid, tree.get(index)?.kind.file_type()))
}

/// The inode's address field: its first block in the image, or its device number.
fn address(index: InodeIndex, inode: &Inode, placement: &Placement, plan: &Plan) -> Result<u32, ErofsError> {
    let block = match inode.kind {
        InodeKind::File { size: 0, .. } | InodeKind::Fifo | InodeKind::Socket => 0,
        InodeKind::File { data, .. } => plan.metadata_blocks + data.0,
        InodeKind::Directory(_) | InodeKind::Symlink(_) => placement.content.body_block,
        InodeKind::CharDevice { major, minor } | InodeKind::BlockDevice { major, minor } => {
            return check::device(index, major, minor);
        }
    };
    u32::try_from(block).map_err(|_| ErofsError::ImageTooLarge { blocks: block })
}
