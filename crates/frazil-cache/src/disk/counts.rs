//! What the disk tier counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// What happened in a disk tier since it was made, and what it keeps now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct DiskCounts {
    /// Answers from disk, or from a fill that is on its way there.
    pub hits: u64,
    /// Requests that the disk could not answer.
    pub misses: u64,
    /// Chunks that were written.
    pub fills: u64,
    /// Fills that were dropped because too many waited.
    pub dropped_fills: u64,
    /// Chunks that had to go.
    pub evictions: u64,
    /// Entries that were not the chunk of their name, and were moved aside.
    pub quarantined: u64,
    /// Entries that were gone when they were wanted.
    pub vanished: u64,
    /// Reads and fills that went past a full, failing or absent disk.
    pub bypassed: u64,
    /// Chunks that are kept now.
    pub chunks: u64,
    /// What these take, in bytes of whole pages.
    pub bytes: u64,
    /// What the quarantine takes, in bytes of whole pages.
    pub quarantine_bytes: u64,
    /// Chunks that wait to be written.
    pub pending_fills: u64,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    pub(super) fills: Counter,
    pub(super) dropped_fills: Counter,
    pub(super) evictions: Counter,
    pub(super) quarantined: Counter,
    pub(super) vanished: Counter,
    pub(super) bypassed: Counter,
}
