//! What has crossed a link.

use std::ops::Sub;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts, from the opening of the link on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Bytes from the servers.
    pub(crate) down_bytes: u64,
    /// Bytes to the servers.
    pub(crate) up_bytes: u64,
    /// Connections opened.
    pub(crate) connections: u64,
    /// How often a client spoke first or after a server: the requests of every protocol that asks one at a time.
    pub(crate) exchanges: u64,
}

impl Sub for Traffic {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            down_bytes: self.down_bytes.saturating_sub(earlier.down_bytes),
            up_bytes: self.up_bytes.saturating_sub(earlier.up_bytes),
            connections: self.connections.saturating_sub(earlier.connections),
            exchanges: self.exchanges.saturating_sub(earlier.exchanges),
        }
    }
}

/// Counts while others write.
#[derive(Default)]
pub(super) struct Meter {
    pub(super) down_bytes: AtomicU64,
    pub(super) up_bytes: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) exchanges: AtomicU64,
}

impl Meter {
    pub(super) fn read(&self) -> Traffic {
        Traffic {
            down_bytes: self.down_bytes.load(Ordering::Relaxed),
            up_bytes: self.up_bytes.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
            exchanges: self.exchanges.load(Ordering::Relaxed),
        }
    }
}
