//! The order in which directories are laid out, chosen for an image whose metadata arrives in pieces.
//!
//! Laying out a directory puts its dirents and then the inodes of all its children next to each other, so
//! listing one reads one place. The first levels come breadth first: every path walk goes through `/`,
//! `/usr` and `/usr/lib`, and so finds them together at the image's start. Below them each subtree stays
//! in one piece: a program that walks into one package touches the pieces of that package alone.

use std::collections::VecDeque;

use crate::tree::InodeIndex;

/// Directories nearer to the root than this are laid out breadth first.
const BREADTH_FIRST_DEPTH: u32 = 3;

/// A directory that waits to be laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PendingDirectory {
    pub(super) inode: InodeIndex,
    pub(super) parent: InodeIndex,
    pub(super) depth: u32,
}

#[derive(Debug, Default)]
pub(super) struct DirectoryOrder {
    near_root: VecDeque<PendingDirectory>,
    subtree_roots: VecDeque<PendingDirectory>,
    subtree: Vec<PendingDirectory>,
}

impl DirectoryOrder {
    /// Adds the subdirectories of one directory, in their order.
    pub(super) fn push(&mut self, siblings: &[PendingDirectory]) {
        match siblings.first() {
            Some(first) if first.depth < BREADTH_FIRST_DEPTH => self.near_root.extend(siblings),
            Some(first) if first.depth == BREADTH_FIRST_DEPTH => self.subtree_roots.extend(siblings),
            _ => self.subtree.extend(siblings.iter().rev()),
        }
    }

    pub(super) fn next(&mut self) -> Option<PendingDirectory> {
        let near_root = self.near_root.pop_front();
        near_root.or_else(|| self.subtree.pop()).or_else(|| self.subtree_roots.pop_front())
    }
}
