//! The tree while it grows: inodes in an arena, directories that name them.
//!
//! Invariant: every directory has exactly one name (but the root, which has none) and knows its parent. A directory
//! is *touched* by a layer that put something into it or below it, or set its attributes; another file's name is
//! touched by the layer that made it. Whiteouts need to know.

use std::collections::BTreeMap;

use frazil_erofs::InodeKind;
use frazil_format::Attributes;

use super::Misfit;

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
}

impl Arena {
    pub(super) const ROOT: NodeIndex = NodeIndex(0);

    /// A tree that is an empty root.
    pub(super) fn new() -> Self {
        let root = Directory { parent: Self::ROOT, touched: 0, names: BTreeMap::new() };
        Self { nodes: vec![Node { attributes: implied_directory(), kind: NodeKind::Directory(root) }] }
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

    /// A new directory, not named yet.
    pub(super) fn new_directory(
        &mut self,
        parent: NodeIndex,
        attributes: Attributes,
        layer: LayerNumber,
    ) -> Result<NodeIndex, Misfit> {
        let directory = Directory { parent, touched: layer, names: BTreeMap::new() };
        self.push(Node { attributes, kind: NodeKind::Directory(directory) })
    }

    /// A new inode, not named yet.
    pub(super) fn push(&mut self, node: Node) -> Result<NodeIndex, Misfit> {
        // The highest index stays free: the writer takes it for one too many.
        let index = u32::try_from(self.nodes.len()).ok().filter(|index| *index < u32::MAX);
        let index = index.ok_or(Misfit::TooManyInodes)?;
        self.nodes.push(node);
        Ok(NodeIndex(index))
    }

    /// Names an inode; what the name stood for before is gone, with all that is below it.
    pub(super) fn name(&mut self, directory: NodeIndex, name: &[u8], node: NodeIndex, layer: LayerNumber) {
        if let Some(directory) = self.directory_mut(directory) {
            directory.names.insert(name.to_vec(), Name { node, touched: layer });
        }
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
    pub(super) fn prune(&mut self, directory: NodeIndex, layer: LayerNumber) {
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
            if let Some(directory) = self.directory_mut(index) {
                directory.names = names;
            }
        }
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
