//! What is known of one node: what it did, how busy it is, whether it is worth asking.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::breaker::Breaker;

/// The counters of one node, shared by its connections.
#[derive(Default, Debug)]
pub(super) struct Vitals {
    pub(super) breaker: Breaker,
    in_flight: AtomicUsize,
    answers: AtomicU64,
    failures: AtomicU64,
    timeouts: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) liars: AtomicU64,
    pub(super) fills: AtomicU64,
    pub(super) fill_drops: AtomicU64,
}

/// What one node did since the fleet was started or the node joined it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeCounts {
    /// The node, as `host:port`.
    pub node: String,
    /// Whether it answers, as far as is known.
    pub is_up: bool,
    /// Questions that are under way now.
    pub in_flight: u64,
    /// Shards it had.
    pub hits: u64,
    /// Shards it did not have.
    pub misses: u64,
    /// Shards it had that were not what they should have been; each was written again.
    pub liars: u64,
    /// Shards it took.
    pub fills: u64,
    /// Shards it should have taken: it was down or busy, did not answer or refused.
    pub fill_drops: u64,
    /// Questions that failed, by a broken connection or a late answer.
    pub failures: u64,
    /// Those of them that failed by a late answer.
    pub timeouts: u64,
    /// Bytes of values that it sent.
    pub read_bytes: u64,
    /// Bytes of values that it was sent.
    pub written_bytes: u64,
}

impl Vitals {
    /// How many answers it gave, ever.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Relaxed)
    }

    /// The node answered.
    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, Relaxed);
        self.breaker.answered();
    }

    /// The node failed, and this many questions with it.
    pub(super) fn failed(&self, questions: u32) {
        self.failures.fetch_add(u64::from(questions), Relaxed);
        self.breaker.failed();
    }

    /// This many of them failed because the answer was late.
    pub(super) fn timed_out(&self, questions: usize) {
        self.timeouts.fetch_add(questions as u64, Relaxed);
    }

    /// The node sent `len` bytes.
    pub(super) fn read(&self, len: usize) {
        self.read_bytes.fetch_add(len as u64, Relaxed);
    }

    /// The node was sent `len` bytes.
    pub(super) fn wrote(&self, len: usize) {
        self.written_bytes.fetch_add(len as u64, Relaxed);
    }

    /// Questions under way.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// All of it, for people.
    pub(super) fn counts(&self, node: String) -> NodeCounts {
        NodeCounts {
            node,
            is_up: self.breaker.is_closed(),
            in_flight: self.in_flight() as u64,
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            liars: self.liars.load(Relaxed),
            fills: self.fills.load(Relaxed),
            fill_drops: self.fill_drops.load(Relaxed),
            failures: self.failures.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            read_bytes: self.read_bytes.load(Relaxed),
            written_bytes: self.written_bytes.load(Relaxed),
        }
    }
}

/// A question that counts as under way for as long as this lives.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Vitals>);

impl InFlight {
    pub(super) fn of(vitals: &Arc<Vitals>) -> Self {
        vitals.in_flight.fetch_add(1, Relaxed);
        Self(Arc::clone(vitals))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}
