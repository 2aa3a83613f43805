//! What the memory tier counts.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::policy::residents::Occupancy;

/// What happened in a memory tier since it was made, and what it keeps now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct MemoryCounts {
    /// Answers from memory.
    pub hits: u64,
    /// Requests that memory could not answer.
    pub misses: u64,
    /// Requests that went below: fewer than the misses where callers shared one.
    pub fetches: u64,
    /// Chunks that had to go.
    pub evictions: u64,
    /// Chunks that are kept now.
    pub chunks: u64,
    /// What these take from the budget, in bytes.
    pub bytes: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    fetches: AtomicU64,
    evictions: AtomicU64,
}

impl Counters {
    pub(super) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn fetched(&self) {
        self.fetches.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn evicted(&self, chunks: usize) {
        self.evictions.fetch_add(chunks as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self, kept: Occupancy) -> MemoryCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MemoryCounts {
            hits: read(&self.hits),
            misses: read(&self.misses),
            fetches: read(&self.fetches),
            evictions: read(&self.evictions),
            chunks: kept.chunks,
            bytes: kept.bytes,
        }
    }
}
