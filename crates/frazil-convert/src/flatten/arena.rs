//! The tree while it grows: inodes in an arena, directories that name them.
//!
//! Invariant: every directory has exactly one name (but the root, which has none) and knows its parent. A directory
//! is *touched* by a layer that put something into it or below it, or set its attributes; another file's name is
//! touched by the layer that made it. Whiteouts need to know.

use std::collections::BTreeMap;

use frazil_erofs::InodeKind;
use frazil_format::Attributes;

use super::Misfit;
use super::bounds::Bounds;
use crate::archive::PATH_MAX;

/// What a directory takes in memory, its map of names included, in bytes.
const DIRECTORY_BYTES: usize = 1024;
/// What another inode takes besides its texts, in bytes.
const LEAF_BYTES: usize = 256;
/// What a name or an extended attribute takes besides its bytes, in bytes.
const TEXT_BYTES: usize = 64;

/// An inode's place in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeIndex(u32);

/// The number of a layer, from 0 at the bottom.
pub(super) type LayerNumber = u32;

/// An inode.
pub(super) struct Node {
    pub(super) attributes: Attributes,
    pub(super) kind: NodeKind,
}

/// What an inode is.
pub(super) enum NodeKind {
    Directory(Directory),
    /// Anything but a directory.
    Leaf(InodeKind),
}

/// A directory.
pub(super) struct Directory {
    pub(super) parent: NodeIndex,
    pub(super) touched: LayerNumber,
    /// The length of its path, in bytes, a slash in front of each name.
    path_len: usize,
    pub(super) names: BTreeMap<Vec<u8>, Name>,
}

/// What a directory says of a name.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub(super) node: NodeIndex,
    /// The layer that made the name; a directory's own mark counts instead of this.
    touched: LayerNumber,
}

/// All inodes; the first is the root.
pub(super) struct Arena {
    nodes: Vec<Node>,
    pub(super) bounds: Bounds,
}

impl Arena {
    pub(super) const ROOT: NodeIndex = NodeIndex(0);

    /// A tree that is an empty root.
    pub(super) fn new() -> Self {
        let root = Directory { parent: Self::ROOT, touched: 0, path_len: 0, names: BTreeMap::new() };
        let root = Node { attributes: implied_directory(), kind: NodeKind::Directory(root) };
        Self { nodes: vec![root], bounds: Bounds::new() }
    }

    pub(super) fn into_nodes(self) -> Vec<Node> {
        self.nodes
    }

    pub(super) fn node(&self, index: NodeIndex) -> Option<&Node> {
        self.nodes.get(index.0 as usize)
    }

    pub(super) fn node_mut(&mut self, index: NodeIndex) -> Option<&mut Node> {
        self.nodes.get_mut(index.0 as usize)
    }

    pub(super) fn directory(&self, index: NodeIndex) -> Option<&Directory> {
        match &self.node(index)?.kind {
            NodeKind::Directory(directory) => Some(directory),
            NodeKind::Leaf(_) => None,
        }
    }

    fn directory_mut(&mut self, index: NodeIndex) -> Option<&mut Directory> {
        match &mut self.node_mut(index)?.kind {
            NodeKind::Directory(directory) => Some(directory),
            NodeKind::Leaf(_) => None,
        }
    }

    /// What a name in a directory stands for.
    pub(super) fn lookup(&self, directory: NodeIndex, name: &[u8]) -> Option<NodeIndex> {
        Some(self.directory(directory)?.names.get(name)?.node)
    }

    /// The directory above; the root is above itself.
    pub(super) fn parent(&self, directory: NodeIndex) -> NodeIndex {
        self.directory(directory).map_or(Self::ROOT, |directory| directory.parent)
    }

    /// A new directory under a name.
    pub(super) fn new_directory(
        &mut self,
        parent: NodeIndex,
        name: &[u8],
        attributes: Attributes,
        layer: LayerNumber,
    ) -> Result<NodeIndex, Misfit> {
        let above = self.directory(parent).map_or(0, |directory| directory.path_len);
        let path_len = above + 1 + name.len();
        if path_len > PATH_MAX {
            return Err(Misfit::TooDeep { limit: PATH_MAX });
        }
        // Whoever walks the tree later holds a path for each directory.
        self.bounds.memory(path_len)?;
        let directory = Directory { parent, touched: layer, path_len, names: BTreeMap::new() };
        let made = self.push(Node { attributes, kind: NodeKind::Directory(directory) })?;
        self.name(parent, name, made, layer)?;
        Ok(made)
    }

    /// A new inode, not named yet.
    pub(super) fn push(&mut self, node: Node) -> Result<NodeIndex, Misfit> {
        // The highest index stays free: the writer takes it for one too many.
        let index = u32::try_from(self.nodes.len()).ok().filter(|index| *index < u32::MAX);
        let index = index.ok_or(Misfit::TooManyInodes)?;
        self.bounds.memory(node.memory())?;
        self.nodes.push(node);
        Ok(NodeIndex(index))
    }

    /// Names an inode; what the name stood for before is gone, with all that is below it.
    pub(super) fn name(
        &mut self,
        directory: NodeIndex,
        name: &[u8],
        node: NodeIndex,
        layer: LayerNumber,
    ) -> Result<(), Misfit> {
        self.bounds.memory(name.len() + TEXT_BYTES)?;
        if let Some(directory) = self.directory_mut(directory) {
            directory.names.insert(name.to_vec(), Name { node, touched: layer });
        }
        Ok(())
    }

    /// Takes a name away.
    pub(super) fn unname(&mut self, directory: NodeIndex, name: &[u8]) {
        if let Some(directory) = self.directory_mut(directory) {
            directory.names.remove(name);
        }
    }

    /// Marks a directory and those above it.
    pub(super) fn touch(&mut self, directory: NodeIndex, layer: LayerNumber) {
        let mut index = directory;
        while let Some(directory) = self.directory_mut(index).filter(|directory| directory.touched != layer) {
            directory.touched = layer;
            index = directory.parent;
        }
    }

    /// Whether the layer touched what a name stands for.
    pub(super) fn is_touched(&self, directory: NodeIndex, name: &[u8], layer: LayerNumber) -> bool {
        let name = self.directory(directory).and_then(|directory| directory.names.get(name));
        name.is_some_and(|name| self.is_name_touched(name, layer))
    }

    fn is_name_touched(&self, name: &Name, layer: LayerNumber) -> bool {
        self.directory(name.node).map_or(name.touched, |directory| directory.touched) == layer
    }

    /// Takes away everything below a directory that the layer did not touch.
    pub(super) fn prune(&mut self, directory: NodeIndex, layer: LayerNumber) -> Result<(), Misfit> {
        let mut pending = vec![directory];
        while let Some(index) = pending.pop() {
            let Some(directory) = self.directory_mut(index) else { continue };
            let mut names = std::mem::take(&mut directory.names);
            names.retain(|_, name| {
                let keep = self.is_name_touched(name, layer);
                if keep && self.directory(name.node).is_some() {
                    pending.push(name.node);
                }
                keep
            });
            // What is kept may be looked at again and again, what goes only once.
            self.bounds.steps(names.len())?;
            if let Some(directory) = self.directory_mut(index) {
                directory.names = names;
            }
        }
        Ok(())
    }
}

impl Node {
    /// What it takes in memory, in bytes; an estimate.
    fn memory(&self) -> usize {
        let xattr = |(name, value): &(Vec<u8>, Vec<u8>)| name.len() + value.len() + TEXT_BYTES;
        let kind = match &self.kind {
            NodeKind::Directory(_) => DIRECTORY_BYTES,
            NodeKind::Leaf(InodeKind::Symlink(target)) => LEAF_BYTES + target.len(),
            NodeKind::Leaf(_) => LEAF_BYTES,
        };
        kind + self.attributes.xattrs.iter().map(xattr).sum::<usize>()
    }
}

impl NodeIndex {
    pub(super) fn number(self) -> u32 {
        self.0
    }
}

/// What a directory has that no entry describes, and the root before the first entry does.
pub(super) fn implied_directory() -> Attributes {
    Attributes { mode: 0o755, ..Attributes::default() }
}
