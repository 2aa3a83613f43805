//! What an agent counts of its host cache.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What happened between this process and its host cache.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HostCacheCounts {
    /// Connections that were made.
    pub connections: u64,
    /// Questions that were asked again.
    pub retries: u64,
    /// Times that the host cache had too much to do.
    pub busy: u64,
    /// Chunks that were not what their id says.
    pub corrupt: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    connections: AtomicU64,
    retries: AtomicU64,
    busy: AtomicU64,
    corrupt: AtomicU64,
}

impl Counters {
    /// Counts a connection; says whether it is the first one.
    pub(super) fn connected(&self) -> bool {
        self.connections.fetch_add(1, Relaxed) == 0
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Relaxed);
    }

    pub(super) fn busy(&self) {
        self.busy.fetch_add(1, Relaxed);
    }

    pub(super) fn corrupt(&self) {
        self.corrupt.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> HostCacheCounts {
        HostCacheCounts {
            connections: self.connections.load(Relaxed),
            retries: self.retries.load(Relaxed),
            busy: self.busy.load(Relaxed),
            corrupt: self.corrupt.load(Relaxed),
        }
    }
}
