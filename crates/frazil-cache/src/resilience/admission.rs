//! Whether the origin can take one more mount.
//!
//! A mount that starts while the origin is overloaded or failing makes it worse for those that run, and is
//! none the better off. It is refused, and told when to come back; a mount that runs already is never refused
//! here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{Health, Slots};

/// When mounts are refused.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AdmissionOptions {
    /// This many requests waiting for the origin are too many.
    pub most_waiting: usize,
    /// This share of the last ten seconds' requests unanswered is too much.
    pub most_failed: f64,
    /// With fewer requests than this in ten seconds nothing is known.
    pub enough_requests: u64,
    /// What a refused mount is told to wait.
    pub retry_after: Duration,
}

/// Why a mount is refused. The same mount may be admitted a little later.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// The origin has too much to do.
    #[error(
        "the origin has more to do than it can: {waiting} requests wait for it; try again in {} s",
        retry_after.as_secs()
    )]
    Overloaded {
        /// How many requests wait.
        waiting: usize,
        /// When to come back.
        retry_after: Duration,
    },
    /// The origin does not answer.
    #[error(
        "the origin is failing: {failed} of the last {requests} requests got no answer; try again in {} s",
        retry_after.as_secs()
    )]
    Failing {
        /// How many got none.
        failed: u64,
        /// Of how many.
        requests: u64,
        /// When to come back.
        retry_after: Duration,
    },
}

impl Refused {
    /// When to come back.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Overloaded { retry_after, .. } | Self::Failing { retry_after, .. } => *retry_after,
        }
    }
}

/// Says whether a mount may start. Clones share their counter.
#[derive(Clone, Debug)]
pub struct Admission {
    slots: Arc<Slots>,
    health: Arc<Health>,
    options: AdmissionOptions,
    refusals: Arc<AtomicU64>,
}

impl Admission {
    /// The admission to an origin with these slots and this health.
    pub fn new(slots: Arc<Slots>, health: Arc<Health>, options: AdmissionOptions) -> Self {
        Self { slots, health, options, refusals: Arc::default() }
    }

    /// Whether a mount may start now.
    pub fn try_admit(&self) -> Result<(), Refused> {
        let verdict = self.judge();
        if verdict.is_err() {
            self.refusals.fetch_add(1, Relaxed);
        }
        verdict
    }

    /// How many mounts were refused.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Relaxed)
    }

    fn judge(&self) -> Result<(), Refused> {
        let AdmissionOptions { most_waiting, most_failed, enough_requests, retry_after } = self.options;
        let waiting = self.slots.counts().waiting;
        if waiting >= most_waiting {
            return Err(Refused::Overloaded { waiting, retry_after });
        }
        let (answered, failed) = self.health.outcomes();
        let requests = answered.saturating_add(failed);
        if requests >= enough_requests && failed as f64 > requests as f64 * most_failed {
            return Err(Refused::Failing { failed, requests, retry_after });
        }
        Ok(())
    }
}
