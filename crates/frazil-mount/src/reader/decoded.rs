//! Decoded chunks in memory, within a byte budget.
//!
//! The kernel's page cache keeps what was read; this cache only bridges the requests that one chunk is read in
//! (EROFS asks for 128 KiB at a time) and the neighbours that share a chunk, so it is small.

use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::ChunkIndex;

/// The expected size of a decoded chunk, in bytes; it only sizes tables.
const CHUNK_LEN_TYPICAL: u64 = 128 << 10;

#[derive(Clone)]
struct ByLen;

impl Weighter<ChunkIndex, Bytes> for ByLen {
    fn weight(&self, _: &ChunkIndex, chunk: &Bytes) -> u64 {
        chunk.len() as u64
    }
}

/// The decoded chunks of one image.
pub(super) struct Decoded(Cache<ChunkIndex, Bytes, ByLen>);

impl Decoded {
    /// A cache that holds at most `budget_bytes` of decoded chunks.
    pub(super) fn new(budget_bytes: u64) -> Self {
        let items = (budget_bytes / CHUNK_LEN_TYPICAL).max(16) as usize;
        // One shard: a budget split over many would refuse every chunk that is larger than its part.
        let options = OptionsBuilder::new()
            .shards(1)
            .estimated_items_capacity(items)
            .weight_capacity(budget_bytes)
            .build();
        let cache = match options {
            Ok(options) => Cache::with_options(
                options,
                ByLen,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            ),
            // Only a missing capacity can be wrong with the options, and both are given.
            Err(_) => Cache::with_weighter(items, budget_bytes, ByLen),
        };
        Self(cache)
    }

    pub(super) fn get(&self, index: ChunkIndex) -> Option<Bytes> {
        self.0.get(&index)
    }

    pub(super) fn contains(&self, index: ChunkIndex) -> bool {
        self.0.contains_key(&index)
    }

    pub(super) fn insert(&self, index: ChunkIndex, chunk: Bytes) {
        self.0.insert(index, chunk);
    }
}
