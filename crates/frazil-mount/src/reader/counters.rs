//! What an image's reader did so far, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

/// A snapshot of an image's counters.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Sealed chunks asked of the tier.
    pub requests: u64,
    /// Bytes of sealed chunks that the tier gave.
    pub sealed_bytes: u64,
    /// Bytes of chunks after opening.
    pub decoded_bytes: u64,
    /// Different chunks that a read needed.
    pub chunks_touched: u64,
    /// Chunks that the image has.
    pub chunks_total: u64,
    /// Times that a read found a chunk decoded.
    pub cache_hits: u64,
    /// Chunks that could not be fetched or opened.
    pub errors: u64,
}

/// The numbers while they grow.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) requests: AtomicU64,
    pub(super) sealed_bytes: AtomicU64,
    pub(super) decoded_bytes: AtomicU64,
    pub(super) cache_hits: AtomicU64,
    pub(super) errors: AtomicU64,
}

impl Tally {
    pub(super) fn snapshot(&self, chunks_touched: u64, chunks_total: u64) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            requests: read(&self.requests),
            sealed_bytes: read(&self.sealed_bytes),
            decoded_bytes: read(&self.decoded_bytes),
            chunks_touched,
            chunks_total,
            cache_hits: read(&self.cache_hits),
            errors: read(&self.errors),
        }
    }
}

/// Adds to a counter; nothing is ordered by it.
pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
