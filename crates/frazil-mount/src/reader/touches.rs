//! Which chunks have been touched, and the listener for first touches (a profile is the order of first
//! touches).

use std::sync::Arc;

use super::blocks::Blocks;

/// The place of a chunk in its image's chunk table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChunkIndex(u32);

impl ChunkIndex {
    pub(super) fn new(index: usize) -> Self {
        // A chunk table of more than u32::MAX entries is refused when it is opened.
        Self(index as u32)
    }

    /// The index as a number.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// Told of the first read that needs a chunk, once per chunk and image. Called on the reading thread: an
/// implementation takes a note and returns.
pub trait TouchListener: Send + Sync {
    /// `chunk` was touched for the first time.
    fn first_touch(&self, chunk: ChunkIndex);
}

/// One bit per chunk, and the listener.
pub(super) struct Touches {
    seen: Blocks,
    listener: Option<Arc<dyn TouchListener>>,
}

impl Touches {
    pub(super) fn new(chunks: usize, listener: Option<Arc<dyn TouchListener>>) -> Self {
        Self { seen: Blocks::new(chunks), listener }
    }

    /// Notes that a read needs this chunk; says whether it is the first.
    pub(super) fn touch(&self, index: ChunkIndex) -> bool {
        let is_first = self.seen.set(index.as_usize()..index.as_usize() + 1) > 0;
        if is_first && let Some(listener) = &self.listener {
            listener.first_touch(index);
        }
        is_first
    }

    /// Whether a read needed this chunk.
    pub(super) fn contains(&self, index: ChunkIndex) -> bool {
        self.seen.contains(index.as_usize())
    }

    /// How many different chunks were touched.
    pub(super) fn count(&self) -> u64 {
        self.seen.count_all()
    }
}
