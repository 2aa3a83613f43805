//! What a tree may cost, in memory and in time, however small the layers are that make it.
//!
//! Invariant: every inode and every name is charged before it is made, and every name that a path goes through
//! before the next one is looked at. Memory is that of the whole image, steps are those of one layer. The memory is
//! an estimate: what the tree, and the writer that it is given to, take for an inode of that kind.

use std::cell::Cell;

use super::Misfit;

/// The most memory of an image's tree, in bytes: a million directories, or three million files.
const MAX_TREE_BYTES: u64 = 1 << 30;
/// The most directories that no entry describes. Each takes a path's one byte and its slash in an archive, and a
/// thousand times that here.
const MAX_IMPLIED: u64 = 1 << 18;
/// Names that the paths of one entry go through on average: three paths, each as deep as trees get.
const STEPS_PER_ENTRY: u64 = 128;
/// Names that the paths of the smallest layer may go through.
const STEPS_BASE: u64 = 1 << 20;

/// What is left of an image's and a layer's bounds.
pub(super) struct Bounds {
    bytes: u64,
    implied: u64,
    step_limit: u64,
    /// Looking a path up changes nothing but this.
    steps: Cell<u64>,
}

impl Bounds {
    pub(super) fn new() -> Self {
        Self { bytes: MAX_TREE_BYTES, implied: MAX_IMPLIED, step_limit: 0, steps: Cell::new(0) }
    }

    /// Starts a layer of this many entries.
    pub(super) fn layer(&mut self, entries: usize) {
        self.step_limit = STEPS_BASE.saturating_add(STEPS_PER_ENTRY.saturating_mul(entries as u64));
        self.steps.set(self.step_limit);
    }

    pub(super) fn memory(&mut self, bytes: usize) -> Result<(), Misfit> {
        let left = self.bytes.checked_sub(bytes as u64);
        self.bytes = left.ok_or(Misfit::TreeTooLarge { limit: MAX_TREE_BYTES })?;
        Ok(())
    }

    pub(super) fn implied(&mut self) -> Result<(), Misfit> {
        let left = self.implied.checked_sub(1);
        self.implied = left.ok_or(Misfit::TooManyImplied { limit: MAX_IMPLIED })?;
        Ok(())
    }

    pub(super) fn steps(&self, steps: usize) -> Result<(), Misfit> {
        let left = self.steps.get().checked_sub(steps as u64);
        self.steps.set(left.ok_or(Misfit::TooManySteps { limit: self.step_limit })?);
        Ok(())
    }
}
