//! Whether the disk is worth asking.
//!
//! A disk that fails is left alone for a while and then tried again; what it says is logged, but not for every chunk.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One failed read may be one bad sector; this many in a row are a bad disk.
const FAILURES_OF_A_BAD_DISK: u32 = 8;
/// The shortest time between two logged messages of one kind.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A way to the disk that is shut for a while after a failure.
#[derive(Debug)]
pub(super) struct Gate {
    retry_after: Duration,
    tolerated: u32,
    failures: AtomicU32,
    shut_until: Mutex<Option<Instant>>,
}

impl Gate {
    /// A gate that one failure shuts.
    pub(super) fn strict(retry_after: Duration) -> Self {
        Self { retry_after, tolerated: 0, failures: AtomicU32::new(0), shut_until: Mutex::new(None) }
    }

    /// A gate that only failures in a row shut.
    pub(super) fn tolerant(retry_after: Duration) -> Self {
        Self { tolerated: FAILURES_OF_A_BAD_DISK - 1, ..Self::strict(retry_after) }
    }

    pub(super) fn is_open(&self) -> bool {
        let mut shut_until = self.lock();
        if shut_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        *shut_until = None;
        true
    }

    pub(super) fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        if self.failures.fetch_add(1, Ordering::Relaxed) >= self.tolerated {
            self.failures.store(0, Ordering::Relaxed);
            *self.lock() = Instant::now().checked_add(self.retry_after);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.shut_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Warnings of one kind, thinned out.
#[derive(Debug, Default)]
pub(super) struct Warnings(Mutex<Thinned>);

#[derive(Debug, Default)]
struct Thinned {
    last: Option<Instant>,
    withheld: u64,
}

impl Warnings {
    /// Logs this failure, unless one like it was logged a moment ago.
    pub(super) fn warn(&self, directory: &std::path::Path, what: &'static str, error: &io::Error) {
        let mut thinned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if thinned.last.is_some_and(|last| last.elapsed() < LOG_INTERVAL) {
            thinned.withheld = thinned.withheld.saturating_add(1);
            return;
        }
        let withheld = std::mem::take(&mut thinned.withheld);
        thinned.last = Some(Instant::now());
        drop(thinned);
        tracing::warn!(directory = %directory.display(), %error, withheld, "disk tier: {what}");
    }
}
