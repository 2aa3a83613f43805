//! Where everything goes: an offset for each inode, blocks for what does not fit beside it.
//!
//! The invariant: every inode that a directory names is placed exactly once, in the order in which
//! directories are laid out, and the root comes first, so that its nid fits the superblock's 16 bits.

use std::collections::BTreeMap;

use super::allocator::Allocator;
use super::order::{DirectoryOrder, PendingDirectory};
use super::{check, dirents, xattrs};
use crate::error::ErofsError;
use crate::layout::{
    BLOCK_BYTES, INODE_SIZE, INODE_SLOT_BYTES, LAYOUT_FLAT_INLINE, LAYOUT_FLAT_PLAIN, SUPERBLOCK_OFFSET,
    SUPERBLOCK_SIZE,
};
use crate::tree::{InodeIndex, InodeKind, Tree};
use crate::types::Nid;

/// The highest number of blocks: addresses have 32 bits, and the last one means "no address".
const IMAGE_BLOCKS_MAX: u64 = u32::MAX as u64 - 1;

/// Names that a directory without subdirectories has: its own in its parent, and its `.`.
const DIRECTORY_BASE_LINKS: u32 = 2;

#[derive(Debug)]
pub(super) struct Plan {
    /// By index in the tree; `None` for inodes that nothing names.
    placements: Vec<Option<Placement>>,
    /// The inodes in the order of their nids.
    pub(super) inodes: Vec<InodeIndex>,
    /// Each directory with its parent.
    pub(super) directories: Vec<(InodeIndex, InodeIndex)>,
    pub(super) metadata_blocks: u64,
    pub(super) image_blocks: u32,
}

/// Where one inode goes, and what the tree as a whole says about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placement {
    pub(super) nid: Nid,
    pub(super) nlink: u32,
    /// Bytes of xattrs behind the inode.
    pub(super) xattr_len: u32,
    pub(super) content: Content,
}

/// A directory's or symlink's content; for all other types it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) len: u64,
    /// The first block of what stands in whole blocks.
    pub(super) body_block: u64,
    /// Bytes at the content's end that stand right behind the inode and its xattrs.
    pub(super) tail_len: u16,
}

impl Placement {
    /// Byte offset of the inode in the metadata area.
    pub(super) fn offset(&self) -> usize {
        (self.nid.0 * INODE_SLOT_BYTES) as usize
    }

    pub(super) fn layout(&self) -> u16 {
        if self.content.tail_len > 0 { LAYOUT_FLAT_INLINE } else { LAYOUT_FLAT_PLAIN }
    }
}

impl Content {
    /// Decides what goes inline: the last block's worth, if it fits one block with what stands before it.
    fn new(len: u64, head_len: u64) -> Self {
        let last_len = if len == 0 { 0 } else { (len - 1) % BLOCK_BYTES + 1 };
        let tail_len = if head_len + last_len <= BLOCK_BYTES { last_len as u16 } else { 0 };
        Self { len, body_block: 0, tail_len }
    }

    fn body_blocks(&self) -> u64 {
        (self.len - u64::from(self.tail_len)).div_ceil(BLOCK_BYTES)
    }
}

impl Plan {
    pub(super) fn new(tree: &Tree, data_blocks: u64) -> Result<Self, ErofsError> {
        if u32::try_from(tree.len()).is_err() {
            return Err(ErofsError::TooManyInodes { inodes: tree.len() });
        }
        let mut planner = Planner {
            tree,
            data_blocks,
            allocator: Allocator::new((SUPERBLOCK_OFFSET + SUPERBLOCK_SIZE) as u64),
            placements: vec![None; tree.len()],
            inodes: Vec::with_capacity(tree.len()),
            directories: Vec::new(),
        };
        planner.place_all()?;
        planner.finish()
    }

    /// Where an inode goes that some directory names.
    pub(super) fn placement(&self, index: InodeIndex) -> Option<&Placement> {
        self.placements.get(index.get())?.as_ref()
    }
}

struct Planner<'t> {
    tree: &'t Tree,
    data_blocks: u64,
    allocator: Allocator,
    placements: Vec<Option<Placement>>,
    inodes: Vec<InodeIndex>,
    directories: Vec<(InodeIndex, InodeIndex)>,
}

impl<'t> Planner<'t> {
    fn place_all(&mut self) -> Result<(), ErofsError> {
        self.place(Tree::ROOT, Tree::ROOT)?;
        let mut order = DirectoryOrder::default();
        order.push(&[PendingDirectory { inode: Tree::ROOT, parent: Tree::ROOT, depth: 0 }]);
        while let Some(directory) = order.next() {
            let names = self.names(directory.inode).ok_or(ErofsError::RootNotDirectory)?;
            self.directories.push((directory.inode, directory.parent));
            self.place_body(directory.inode);
            order.push(&self.place_children(directory, names)?);
        }
        Ok(())
    }

    fn names(&self, directory: InodeIndex) -> Option<&'t BTreeMap<Vec<u8>, InodeIndex>> {
        match &self.tree.get(directory)?.kind {
            InodeKind::Directory(names) => Some(names),
            _ => None,
        }
    }

    /// Places the children that have no place yet, and gives back those that are directories.
    fn place_children(
        &mut self,
        directory: PendingDirectory,
        names: &BTreeMap<Vec<u8>, InodeIndex>,
    ) -> Result<Vec<PendingDirectory>, ErofsError> {
        let mut subdirectories = Vec::new();
        for (name, &child) in names {
            check::name(directory.inode, name)?;
            let placed_before = self.placements.get(child.get()).is_some_and(Option::is_some);
            if self.names(child).is_none() {
                if !placed_before {
                    self.place(directory.inode, child)?;
                    self.place_body(child);
                }
                self.add_link(child);
            } else if placed_before {
                return Err(ErofsError::DirectoryLinkedTwice { inode: child });
            } else {
                self.place(directory.inode, child)?;
                self.add_link(directory.inode);
                let depth = directory.depth.saturating_add(1);
                subdirectories.push(PendingDirectory { inode: child, parent: directory.inode, depth });
            }
        }
        Ok(subdirectories)
    }

    fn add_link(&mut self, index: InodeIndex) {
        if let Some(Some(placement)) = self.placements.get_mut(index.get()) {
            placement.nlink = placement.nlink.saturating_add(1);
        }
    }

    /// Gives an inode its offset, with its xattrs and inline tail; its body blocks come later.
    fn place(&mut self, directory: InodeIndex, index: InodeIndex) -> Result<(), ErofsError> {
        let inode = self.tree.get(index).ok_or(ErofsError::NoSuchInode { directory, inode: index })?;
        check::inode(index, inode, self.data_blocks)?;
        let xattr_len = xattrs::body_len(index, &inode.xattrs)? as u64;
        let head_len = INODE_SIZE as u64 + xattr_len;
        let (content_len, nlink) = match &inode.kind {
            InodeKind::Directory(names) => (dirents::content_len(names), DIRECTORY_BASE_LINKS),
            InodeKind::Symlink(target) => (target.len() as u64, 0),
            _ => (0, 0),
        };
        let content = Content::new(content_len, head_len);
        let offset = self.allocator.inode(head_len + u64::from(content.tail_len));
        self.placements[index.get()] = Some(Placement {
            nid: Nid(offset / INODE_SLOT_BYTES),
            nlink,
            xattr_len: xattr_len as u32,
            content,
        });
        self.inodes.push(index);
        Ok(())
    }

    /// Gives an inode's content its whole blocks. A directory's come when it is laid out, before its
    /// children's inodes: next to what a listing reads next.
    fn place_body(&mut self, index: InodeIndex) {
        if let Some(Some(placement)) = self.placements.get_mut(index.get()) {
            placement.content.body_block = match placement.content.body_blocks() {
                0 => 0,
                count => self.allocator.blocks(count),
            };
        }
    }

    fn finish(self) -> Result<Plan, ErofsError> {
        let metadata_blocks = self.allocator.used_blocks();
        let blocks = metadata_blocks.saturating_add(self.data_blocks);
        if blocks > IMAGE_BLOCKS_MAX {
            return Err(ErofsError::ImageTooLarge { blocks });
        }
        Ok(Plan {
            placements: self.placements,
            inodes: self.inodes,
            directories: self.directories,
            metadata_blocks,
            image_blocks: blocks as u32,
        })
    }
}
