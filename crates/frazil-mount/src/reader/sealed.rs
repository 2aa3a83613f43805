//! Sealed chunks in memory: those that were fetched ahead of their readers, at the cost of their compressed bytes;
//! and, where these leave room, those of which something is still to be read, so that they are not fetched twice.

use frazil_format::SealedChunk;

use super::ChunkIndex;
use super::shelf::{Shelf, Worth};

/// The sealed chunks of one image.
pub(super) struct Sealed {
    shelf: Shelf<SealedChunk>,
    budget: u64,
}

impl Sealed {
    /// At most `budget_bytes` of sealed chunks.
    pub(super) fn new(budget_bytes: u64) -> Self {
        Self { shelf: Shelf::new(budget_bytes, budget_bytes), budget: budget_bytes }
    }

    /// What may lie ahead of the readers, in bytes.
    pub(super) fn budget_ahead(&self) -> u64 {
        self.budget
    }

    /// What does.
    pub(super) fn bytes_ahead(&self) -> u64 {
        self.shelf.occupancy().dear
    }

    pub(super) fn get(&self, index: ChunkIndex) -> Option<SealedChunk> {
        self.shelf.get(index)
    }

    pub(super) fn contains(&self, index: ChunkIndex) -> bool {
        self.shelf.contains(index)
    }

    /// Keeps a chunk; gives those that had to go before anybody read them.
    pub(super) fn insert(&self, index: ChunkIndex, chunk: SealedChunk, worth: Worth) -> Vec<ChunkIndex> {
        let len = chunk.len() as u64;
        match worth {
            Worth::Dear => self.shelf.insert(index, chunk, len, worth),
            Worth::Spare => {
                self.shelf.insert_spare(index, chunk, len);
                Vec::new()
            }
        }
    }

    /// It was opened: it stays only where there is room.
    pub(super) fn has_served(&self, index: ChunkIndex) {
        self.shelf.spare(index);
    }

    /// Nothing of it is to be read any more, or it is not what it should be.
    pub(super) fn remove(&self, index: ChunkIndex) {
        self.shelf.remove(index);
    }
}
