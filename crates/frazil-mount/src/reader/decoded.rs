//! Decoded chunks in memory, within a byte budget.
//!
//! The kernel's page cache keeps what was read; this only bridges the requests that one chunk is read in (EROFS asks
//! for 128 KiB at a time) and the neighbours that share a chunk. So a chunk of which every block was read is spare:
//! it goes before any of which something is still to be read, and only a few of them are kept at all.

use std::sync::Arc;

use bytes::Bytes;

use super::ChunkIndex;
use super::chunk_cache::{ChunkCache, Worth};
use super::coverage::Coverage;

/// One part in this many of the budget is for chunks that were read to their end.
const SPARE_SHARE: u64 = 4;

/// A decoded chunk, and how much of it was read.
pub(super) struct Opened {
    pub(super) bytes: Bytes,
    pub(super) coverage: Coverage,
}

/// The decoded chunks of one image.
pub(super) struct Decoded(ChunkCache<Arc<Opened>>);

impl Decoded {
    /// A cache that holds at most `budget_bytes` of decoded chunks.
    pub(super) fn new(budget_bytes: u64) -> Self {
        Self(ChunkCache::new(budget_bytes, budget_bytes / SPARE_SHARE))
    }

    pub(super) fn get(&self, index: ChunkIndex) -> Option<Arc<Opened>> {
        self.0.get(index)
    }

    pub(super) fn contains(&self, index: ChunkIndex) -> bool {
        self.0.contains(index)
    }

    /// Keeps a chunk; gives those that had to go.
    pub(super) fn insert(&self, index: ChunkIndex, chunk: Arc<Opened>) -> Vec<ChunkIndex> {
        let len = chunk.bytes.len() as u64;
        self.0.insert(index, chunk, len, Worth::Dear)
    }

    /// Stops keeping anything; gives what was kept.
    pub(super) fn clear(&self) -> Vec<ChunkIndex> {
        [Worth::Spare, Worth::Dear].map(|worth| self.0.clear(worth, |_| true)).concat()
    }

    /// All of this chunk was read.
    pub(super) fn has_served(&self, index: ChunkIndex) {
        self.0.spare(index);
    }
}
