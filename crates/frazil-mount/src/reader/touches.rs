//! Which chunks have been touched, and who wants to know of a first touch (a profile is the order of first
//! touches).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    seen: Box<[AtomicU64]>,
    count: AtomicU64,
    listener: Option<Arc<dyn TouchListener>>,
}

impl Touches {
    pub(super) fn new(chunks: usize, listener: Option<Arc<dyn TouchListener>>) -> Self {
        let seen = (0..chunks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { seen, count: AtomicU64::new(0), listener }
    }

    /// Notes that a read needs this chunk.
    pub(super) fn touch(&self, index: ChunkIndex) {
        let bit = 1 << (index.as_usize() % 64);
        let Some(word) = self.seen.get(index.as_usize() / 64) else { return };
        // The plain load keeps repeated touches from bouncing the cache line between readers.
        if word.load(Ordering::Relaxed) & bit != 0 || word.fetch_or(bit, Ordering::Relaxed) & bit != 0 {
            return;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(listener) = &self.listener {
            listener.first_touch(index);
        }
    }

    /// Whether a read needed this chunk.
    pub(super) fn contains(&self, index: ChunkIndex) -> bool {
        let word = self.seen.get(index.as_usize() / 64).map_or(0, |word| word.load(Ordering::Relaxed));
        word & (1 << (index.as_usize() % 64)) != 0
    }

    /// How many different chunks were touched.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
