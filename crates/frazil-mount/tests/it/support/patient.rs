//! A tier that treats prefetches otherwise than readers, as a busy or broken store would.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use frazil_cache::resilience::{Priority, Urgency};
use frazil_cache::{Served, Tier, TierError, Wanted};
use frazil_format::ChunkId;

use super::tier::TestTier;

/// What becomes of a fetch that nobody waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Treatment {
    /// It is answered.
    Answered,
    /// It is answered when somebody waits for it after all.
    Held,
    /// It fails.
    Failed,
    /// It fails half of the time.
    FailedAtTimes,
}

pub(crate) struct PatientTier {
    below: Arc<TestTier>,
    treatment: Mutex<Treatment>,
    latency: Mutex<Duration>,
    prefetched: Mutex<Vec<ChunkId>>,
    turns: AtomicUsize,
}

impl PatientTier {
    pub(crate) fn over(below: &Arc<TestTier>, treatment: Treatment) -> Arc<Self> {
        let below = Arc::clone(below);
        Arc::new(Self {
            below,
            treatment: Mutex::new(treatment),
            latency: Mutex::default(),
            prefetched: Mutex::default(),
            turns: AtomicUsize::new(0),
        })
    }

    pub(crate) fn treat(&self, treatment: Treatment) {
        *self.treatment.lock().unwrap() = treatment;
    }

    /// Answers everybody so much later.
    pub(crate) fn answer_after(&self, latency: Duration) {
        *self.latency.lock().unwrap() = latency;
    }

    /// What was asked for while nobody waited for it, in order.
    pub(crate) fn prefetched(&self) -> Vec<ChunkId> {
        self.prefetched.lock().unwrap().clone()
    }
}

#[async_trait]
impl Tier for PatientTier {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let urgency = Urgency::current();
        if urgency.priority() == Priority::Prefetch {
            self.prefetched.lock().unwrap().push(wanted.id);
            let treatment = *self.treatment.lock().unwrap();
            let fails = match treatment {
                Treatment::Answered => false,
                Treatment::Held => {
                    urgency.raised().await;
                    false
                }
                Treatment::Failed => true,
                Treatment::FailedAtTimes => self.turns.fetch_add(1, Relaxed).is_multiple_of(2),
            };
            if fails {
                tokio::task::yield_now().await;
                return Err(TierError::NotFound { id: wanted.id, root: wanted.root, tier: self.to_string() });
            }
        }
        let latency = *self.latency.lock().unwrap();
        // Not to sleep at all keeps the order of the questions.
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        self.below.get(wanted).await
    }
}

impl fmt::Display for PatientTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("patient")
    }
}

impl fmt::Debug for PatientTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PatientTier")
    }
}
