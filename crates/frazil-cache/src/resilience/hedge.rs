//! A second request for what takes longer than it usually does.
//!
//! The slowest of a store's answers are slow by chance: asked again, most come at once. The invariants:
//! hedges are at most a share of the requests (a [`Budget`] that begins empty), and each takes a slot that is
//! free and that nobody waits for, so that a busy origin gets none and its limit holds for both.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{Either, select};
use tokio::time::Instant;

use super::latencies::Latencies;
use super::{Budget, BudgetOptions, Slot, Slots};
use crate::{Served, Tier, TierError, Wanted};

/// When to hedge, and how much.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct HedgeOptions {
    /// The share of the last answers that a request must have been slower than.
    pub quantile: f64,
    /// Before this time no request is hedged: an origin that is always that quick needs none.
    pub floor: Duration,
    /// The most hedges, as a share of the requests.
    pub share: f64,
    /// The most hedges that are saved up.
    pub burst: f64,
}

/// What came of hedging.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HedgeCounts {
    /// Second requests.
    pub hedges: u64,
    /// Those that were answered first.
    pub wins: u64,
}

/// A tier that is asked a second time when its answer is slow. The request that is slower is dropped.
#[derive(Debug)]
pub struct Hedge {
    below: Arc<dyn Tier>,
    slots: Arc<Slots>,
    options: HedgeOptions,
    budget: Budget,
    latencies: Latencies,
    hedges: AtomicU64,
    wins: AtomicU64,
}

impl Hedge {
    /// This tier, hedged. The slots are those of the [`Limit`](super::Limit) above.
    pub fn new(below: Arc<dyn Tier>, slots: Arc<Slots>, options: HedgeOptions) -> Self {
        let budget = Budget::new(BudgetOptions {
            per_request: options.share,
            per_second: 0.0,
            initial: 0.0,
            burst: options.burst,
        });
        let latencies = Latencies::default();
        Self { below, slots, options, budget, latencies, hedges: AtomicU64::new(0), wins: AtomicU64::new(0) }
    }

    /// What came of it so far.
    pub fn counts(&self) -> HedgeCounts {
        HedgeCounts { hedges: self.hedges.load(Relaxed), wins: self.wins.load(Relaxed) }
    }

    /// After how long a request is slow.
    fn patience(&self) -> Option<Duration> {
        self.latencies.quantile(self.options.quantile).map(|usual| usual.max(self.options.floor))
    }

    /// The right to ask a second time.
    fn right(&self) -> Option<Slot> {
        let slot = self.slots.spare()?;
        self.budget.spend()?;
        self.hedges.fetch_add(1, Relaxed);
        Some(slot)
    }

    async fn raced(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let first = self.below.get(wanted);
        let Some(patience) = self.patience() else { return first.await };
        let first = match select(first, Box::pin(tokio::time::sleep(patience))).await {
            Either::Left((answer, _)) => return answer,
            Either::Right(((), first)) => first,
        };
        let Some(slot) = self.right() else { return first.await };
        // One that fails is out of the race; the other goes on.
        match select(first, self.below.get(wanted)).await {
            Either::Left((Ok(chunk), _)) => Ok(chunk),
            Either::Left((Err(error), second)) => {
                let chunk = second.await.map_err(|_| error)?;
                self.wins.fetch_add(1, Relaxed);
                Ok(chunk)
            }
            Either::Right((Ok(chunk), _)) => {
                self.wins.fetch_add(1, Relaxed);
                Ok(chunk)
            }
            Either::Right((Err(_), first)) => {
                drop(slot);
                first.await
            }
        }
    }
}

#[async_trait]
impl Tier for Hedge {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        self.budget.deposit();
        let started = Instant::now();
        let answer = self.raced(wanted).await;
        if answer.is_ok() {
            self.latencies.record(started.elapsed());
        }
        answer
    }
}

impl fmt::Display for Hedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| share * 100.0;
        let HedgeOptions { quantile, share, .. } = self.options;
        write!(f, "hedge(after p{}, {} %) → {}", percent(quantile), percent(share), self.below)
    }
}
