//! Flattening: layer indexes, from the bottom up, into one tree.
//!
//! Invariant: the tree is the one that `umoci unpack` makes of the same layers, wherever umoci makes one. Entries are
//! applied in order; nothing but names and attributes is looked at, so no layer has to be read for it. File data
//! stays where the layer streams have it: one stream behind the other, the first one at block 0 of the data area.
//! Specified by the OCI image specification, layer.md, "Applying Changesets".

mod arena;
mod bounds;
mod error;
mod resolve;

use frazil_erofs::{DataAddress, Inode, InodeIndex, InodeKind, Timestamp, Tree};
use frazil_format::{Attributes, BLOCK_SIZE, Content, DiffId, Entry, EntryKind};

pub use error::{FlattenError, Misfit};

use crate::archive::split;
use arena::{Arena, LayerNumber, Node, NodeIndex, NodeKind};

/// Merges layers.
pub(crate) struct Flattener {
    arena: Arena,
    layer: LayerNumber,
    /// Blocks of the layer streams so far.
    data_blocks: u64,
}

impl Flattener {
    pub(crate) fn new() -> Self {
        Self { arena: Arena::new(), layer: 0, data_blocks: 0 }
    }

    /// Applies the next layer.
    pub(crate) fn layer(
        &mut self,
        diff_id: DiffId,
        stream_len: u64,
        entries: impl ExactSizeIterator<Item = Entry>,
    ) -> Result<(), FlattenError> {
        // The root has been touched by no layer yet: layers count from 1 here.
        self.layer += 1;
        self.arena.bounds.layer(entries.len());
        for entry in entries {
            let Entry { path, kind } = entry;
            if let Err(reason) = self.entry(&path, kind) {
                return Err(FlattenError { layer: self.layer as usize - 1, diff_id, path, reason });
            }
        }
        self.data_blocks = self.data_blocks.saturating_add(stream_len.div_ceil(BLOCK_SIZE));
        Ok(())
    }

    /// The tree, and how many blocks of data it speaks of.
    pub(crate) fn finish(self) -> (Tree, u64) {
        let mut inodes = self.arena.into_nodes().into_iter().map(to_inode);
        let mut tree = Tree::new(inodes.next().unwrap_or_else(|| to_inode(Node::empty_leaf())));
        // The arena's indexes are the tree's, since both count from 0 without gaps.
        for inode in inodes {
            tree.push(inode);
        }
        (tree, self.data_blocks)
    }

    fn entry(&mut self, path: &[u8], kind: EntryKind) -> Result<(), Misfit> {
        match kind {
            EntryKind::Inode(attributes, content) => self.inode(path, attributes, content),
            EntryKind::Hardlink(target) => self.hardlink(path, target),
            EntryKind::Whiteout => self.whiteout(path),
            EntryKind::Opaque => self.opaque(path),
        }
    }

    fn inode(&mut self, path: &[u8], attributes: Attributes, content: Content) -> Result<(), Misfit> {
        let (directory, name) = self.place(path)?;
        let kind = match content {
            Content::Directory => return self.directory(directory, name, attributes),
            Content::File { offset, len } => {
                let block = self.data_blocks.saturating_add(offset / BLOCK_SIZE);
                InodeKind::File { size: len, data: DataAddress(block) }
            }
            Content::Symlink(target) => InodeKind::Symlink(target),
            Content::CharDevice { major, minor } => InodeKind::CharDevice { major, minor },
            Content::BlockDevice { major, minor } => InodeKind::BlockDevice { major, minor },
            Content::Fifo => InodeKind::Fifo,
        };
        if name.is_empty() {
            return Err(Misfit::RootReplaced);
        }
        let node = self.arena.push(Node { attributes, kind: NodeKind::Leaf(kind) })?;
        self.arena.name(directory, name, node, self.layer)
    }

    /// A directory over a directory changes its attributes; anything else it replaces.
    fn directory(&mut self, parent: NodeIndex, name: &[u8], attributes: Attributes) -> Result<(), Misfit> {
        let there = if name.is_empty() { Some(parent) } else { self.arena.lookup(parent, name) };
        match there.filter(|node| self.arena.directory(*node).is_some()) {
            Some(directory) => {
                if let Some(node) = self.arena.node_mut(directory) {
                    node.attributes = attributes;
                }
                self.arena.touch(directory, self.layer);
            }
            None => {
                self.arena.new_directory(parent, name, attributes, self.layer)?;
            }
        }
        Ok(())
    }

    /// Another name for an inode; the entry's attributes are ignored, because the inode has its own already.
    fn hardlink(&mut self, path: &[u8], target: Vec<u8>) -> Result<(), Misfit> {
        let (directory, name) = self.place(path)?;
        if name.is_empty() {
            return Err(Misfit::RootReplaced);
        }
        let (target_directory, target_name) = split(&target);
        if self.arena.find_directory(target_directory)? == Some(directory) && target_name == name {
            return Err(Misfit::HardlinkToItself);
        }
        // The old file goes first: the target may have been part of it.
        self.arena.unname(directory, name);
        let found = self.arena.find_directory(target_directory)?;
        let found = match target_name {
            b"" => found,
            _ => found.and_then(|directory| self.arena.lookup(directory, target_name)),
        };
        let Some(node) = found else { return Err(Misfit::HardlinkToNothing { target }) };
        if self.arena.directory(node).is_some() {
            return Err(Misfit::HardlinkToDirectory { target });
        }
        self.arena.name(directory, name, node, self.layer)
    }

    /// Takes away what lower layers put there. What this layer put there stays, whichever came first.
    fn whiteout(&mut self, path: &[u8]) -> Result<(), Misfit> {
        let (directory, name) = split(path);
        let Some(directory) = self.arena.find_directory(directory)? else { return Ok(()) };
        if !self.arena.is_touched(directory, name, self.layer) {
            self.arena.unname(directory, name);
        } else if let Some(node) = self.arena.lookup(directory, name) {
            self.arena.prune(node, self.layer)?;
        }
        Ok(())
    }

    fn opaque(&mut self, path: &[u8]) -> Result<(), Misfit> {
        if let Some(directory) = self.arena.find_directory(path)? {
            self.arena.prune(directory, self.layer)?;
        }
        Ok(())
    }

    /// The directory that a path's last name belongs in, made if need be, and marked. The root has no last
    /// name.
    fn place<'p>(&mut self, path: &'p [u8]) -> Result<(NodeIndex, &'p [u8]), Misfit> {
        let (directory, name) = split(path);
        Ok((self.arena.make_directory(directory, self.layer)?, name))
    }
}

impl Node {
    /// A placeholder where no inode is.
    fn empty_leaf() -> Self {
        Self { attributes: Attributes::default(), kind: NodeKind::Leaf(InodeKind::Fifo) }
    }
}

fn to_inode(node: Node) -> Inode {
    let Node { attributes, kind } = node;
    let kind = match kind {
        NodeKind::Leaf(kind) => kind,
        NodeKind::Directory(directory) => InodeKind::Directory(
            directory.names.into_iter().map(|(name, to)| (name, InodeIndex(to.node.number()))).collect(),
        ),
    };
    Inode {
        kind,
        mode: attributes.mode,
        uid: attributes.uid,
        gid: attributes.gid,
        mtime: Timestamp { seconds: attributes.mtime_seconds, nanos: attributes.mtime_nanos },
        xattrs: attributes.xattrs,
    }
}
