//! Sealed chunks in memory: those that were fetched ahead of their readers, at the cost of their compressed bytes;
//! and, where these leave room, those of which something is still to be read, so that they are not fetched twice.

use frazil_format::SealedChunk;

use super::ChunkIndex;
use super::chunk_cache::{ChunkCache, Worth};

/// The sealed chunks of one image.
pub(super) struct Sealed(ChunkCache<SealedChunk>);

impl Sealed {
    /// At most `budget_bytes` of sealed chunks.
    pub(super) fn new(budget_bytes: u64) -> Self {
        Self(ChunkCache::new(budget_bytes, budget_bytes))
    }

    /// Bytes that may be added to what lies ahead of the readers, when `in_flight` bytes are on their way.
    pub(super) fn free_ahead(&self, in_flight: u64) -> u64 {
        self.0.budget().saturating_sub(self.0.occupancy().dear.saturating_add(in_flight))
    }

    pub(super) fn get(&self, index: ChunkIndex) -> Option<SealedChunk> {
        self.0.get(index)
    }

    pub(super) fn contains(&self, index: ChunkIndex) -> bool {
        self.0.contains(index)
    }

    /// Keeps a chunk; gives those that had to go.
    pub(super) fn insert(&self, index: ChunkIndex, chunk: SealedChunk, worth: Worth) -> Vec<ChunkIndex> {
        let len = chunk.len() as u64;
        match worth {
            Worth::Dear => self.0.insert(index, chunk, len, worth),
            Worth::Spare => self.0.insert_spare(index, chunk, len),
        }
    }

    /// This chunk was opened: it stays only where there is room.
    pub(super) fn has_served(&self, index: ChunkIndex) {
        self.0.spare(index);
    }

    /// Stops keeping those that have served or were guesses; says which those were.
    pub(super) fn clear_spare(&self) -> Vec<ChunkIndex> {
        self.0.clear(Worth::Spare, |_| true)
    }

    /// Stops keeping those that wait for their readers and have to go; says which those were.
    pub(super) fn clear_ahead(&self, has_to_go: impl Fn(ChunkIndex) -> bool) -> Vec<ChunkIndex> {
        self.0.clear(Worth::Dear, has_to_go)
    }

    /// Nothing of this chunk is to be read any more, or it is not what it should be.
    pub(super) fn remove(&self, index: ChunkIndex) {
        self.0.remove(index);
    }
}
