//! The origin as the host cache and the agent see it: every decorator, in the one order that works.
//!
//! ```text
//! deadline → retry → limit → hedge → watch → deadline → origin
//! ```
//!
//! Read from the top: a request has a fixed time in all; what fails is tried again, and holds no slot while
//! it waits for that; each attempt takes its turn; a slow one is hedged if a slot is free that nobody waits
//! for; each request that reaches the store has its own, shorter deadline, and its outcome is noted.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use frazil_store::Store;

use super::{
    Admission, AdmissionOptions, BudgetOptions, Deadline, Health, Hedge, HedgeCounts, HedgeOptions, Limit,
    Retry, RetryCounts, RetryOptions, SlotCounts, Slots, Watch,
};
use crate::trace;
use crate::{Origin, Served, Tier, TierError, Wanted};

/// How to treat an origin.
#[derive(Clone, PartialEq, Debug)]
pub struct OriginOptions {
    /// How long a request may take in all, waiting and trying again included. Half of an agent's own deadline, so
    /// that the error with the reason arrives and not the agent's: 60 s / 2 = 30 s.
    pub deadline: Duration,
    /// How long one request to the store may take. The longest of an honest answer: a chunk of 512 KiB at 1 Mbit/s
    /// takes 4.2 s, so 5 s; S3's p99.9 is 0.2 s.
    pub attempt_deadline: Duration,
    /// Requests under way at the store, hedges included. Bandwidth × latency / chunk: 1 GB/s × 36 ms / 512 KiB = 69,
    /// so 64. They hold as many chunks in memory: 64 × 512 KiB = 32 MiB, and 64 × 4 MiB = 256 MiB at the most.
    pub concurrency: usize,
    /// Requests that may wait for a slot. Concurrency × the wait that is still useful / latency: 64 × 0.6 s / 36 ms =
    /// 1,067, so 1,024.
    pub queue: usize,
    /// When and how often to try again. Pauses between 0 and 50 ms, 100 ms … 5 s, up to 12 attempts: on average 14 s
    /// of pauses, so that an outage of seconds is no error and the deadline decides about longer ones. The budget is
    /// 10 % of the requests and a quarter of the concurrency a second: 64 / 4 = 16/s while all else fails.
    pub retry: RetryOptions,
    /// When and how much to hedge: after the 95th percentile of the last 256 answers, but at least 10 ms, and
    /// at most 5 % of the requests: of 1,000 requests 50 are slower than that, and all of these can be
    /// hedged.
    pub hedge: HedgeOptions,
    /// When mounts are refused: half of the queue is 1,024 / 2 = 512 waiting, or more than half of at least 10
    /// requests in ten seconds unanswered.
    pub admission: AdmissionOptions,
    /// What the random pauses begin with; by default, chance.
    pub seed: Option<u64>,
}

impl OriginOptions {
    /// The defaults for this many requests at once: what depends on that number is derived from it.
    pub fn with_concurrency(concurrency: usize) -> Self {
        let concurrency = concurrency.max(1);
        let queue = concurrency.saturating_mul(16);
        let (deadline, refill) = (Duration::from_secs(30), concurrency as f64 / 4.0);
        Self {
            deadline,
            attempt_deadline: Duration::from_secs(5),
            concurrency,
            queue,
            retry: RetryOptions {
                attempts: 12,
                first_pause: Duration::from_millis(50),
                longest_pause: Duration::from_secs(5),
                patience: deadline,
                budget: BudgetOptions {
                    per_request: 0.1,
                    per_second: refill,
                    initial: refill,
                    burst: refill,
                },
            },
            hedge: HedgeOptions {
                quantile: 0.95,
                floor: Duration::from_millis(10),
                share: 0.05,
                burst: 10.0,
            },
            admission: AdmissionOptions {
                most_waiting: (queue / 2).max(1),
                most_failed: 0.5,
                enough_requests: 10,
                retry_after: Duration::from_secs(5),
            },
            seed: None,
        }
    }
}

impl Default for OriginOptions {
    fn default() -> Self {
        Self::with_concurrency(64)
    }
}

/// The origin with everything over it. It is a tier; what it counts is to be read beside.
#[derive(Debug)]
pub struct OriginStack {
    whole: Arc<Deadline>,
    retry: Arc<Retry>,
    slots: Arc<Slots>,
    hedge: Arc<Hedge>,
    attempt: Arc<Deadline>,
    admission: Admission,
}

/// What happened at the origin since the start, and what goes on there now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct OriginCounts {
    /// Requests, retries, and wrong bytes.
    pub retry: RetryCounts,
    /// Hedges.
    pub hedge: HedgeCounts,
    /// Slots and the queue.
    pub slots: SlotCounts,
    /// Requests that took too long in all.
    pub deadline_misses: u64,
    /// Requests to the store that took too long.
    pub attempt_deadline_misses: u64,
    /// Mounts that were refused.
    pub refused_mounts: u64,
}

/// The store as a tier, with everything over it.
pub fn origin(store: Store, options: &OriginOptions) -> Arc<OriginStack> {
    over(Arc::new(Origin::new(store)), options)
}

/// The stack of [`origin`], over any tier that is like an origin.
pub fn over(store: Arc<dyn Tier>, options: &OriginOptions) -> Arc<OriginStack> {
    let slots = Slots::new(options.concurrency, options.queue);
    let health = Arc::new(Health::new());
    let attempt = Arc::new(Deadline::new(store, options.attempt_deadline));
    let watch = Arc::new(Watch::new(attempt.clone(), Arc::clone(&health)));
    let hedge = Arc::new(Hedge::new(watch, Arc::clone(&slots), options.hedge));
    let limit = Arc::new(Limit::new(hedge.clone(), Arc::clone(&slots)));
    let dice = options.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
    let retry = Arc::new(Retry::new(limit, options.retry, dice));
    let whole = Arc::new(Deadline::new(retry.clone(), options.deadline));
    let admission = Admission::new(Arc::clone(&slots), health, options.admission);
    Arc::new(OriginStack { whole, retry, slots, hedge, attempt, admission })
}

impl OriginStack {
    /// Says whether a mount may start.
    pub fn admission(&self) -> Admission {
        self.admission.clone()
    }

    /// What happened so far.
    pub fn counts(&self) -> OriginCounts {
        OriginCounts {
            retry: self.retry.counts(),
            hedge: self.hedge.counts(),
            slots: self.slots.counts(),
            deadline_misses: self.whole.missed(),
            attempt_deadline_misses: self.attempt.missed(),
            refused_mounts: self.admission.refusals(),
        }
    }
}

#[async_trait]
impl Tier for OriginStack {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        trace::tier_get("origin", wanted, self.whole.get(wanted)).await
    }
}

impl fmt::Display for OriginStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.whole.fmt(f)
    }
}
