//! Sealed chunks that come some other way than chunk by chunk from the tier.

use frazil_format::SealedChunk;

use super::source::Source;
use crate::reader::{ChunkIndex, Image};

/// What became of a chunk that was supplied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Supplied {
    /// It waits for its reader.
    Kept,
    /// There is no use for it: it is there already, was read before, or is no chunk of this image.
    NoUse,
    /// What waits for readers fills its budget: try again after [`Image::room_ahead`].
    Full,
}

impl Image {
    /// Takes a sealed chunk, in memory of its own, as if it had been prefetched for this source. Should it be another
    /// than it is said to be, it does not open, and is fetched when it is read.
    pub fn supply(&self, index: ChunkIndex, sealed: SealedChunk, source: Source) -> Supplied {
        let bytes = sealed.len() as u64;
        let fits = self.table.get(index).is_some_and(|(chunk, _)| u64::from(chunk.sealed_len) == bytes);
        if !fits || !self.is_worth_fetching(index, source) {
            return Supplied::NoUse;
        }
        if bytes > self.free_ahead() {
            return Supplied::Full;
        }
        self.marks.begun(index, source);
        self.account.supplied(index);
        self.keep_ahead(index, &sealed);
        self.marks.came(source, bytes);
        Supplied::Kept
    }

    /// Waits until there is room for `bytes` sealed bytes ahead of the readers, or for a moment; says whether
    /// there is.
    pub async fn room_ahead(&self, bytes: u64) -> bool {
        // Listened for from before the look: room that is made in between is heard of.
        let made = self.prefetches.room();
        if bytes > self.free_ahead() {
            made.await;
        }
        bytes <= self.free_ahead()
    }

    /// Sealed bytes that may be added to what waits for readers.
    pub(crate) fn free_ahead(&self) -> u64 {
        self.sealed.free_ahead(self.prefetches.sealed_in_flight())
    }
}
