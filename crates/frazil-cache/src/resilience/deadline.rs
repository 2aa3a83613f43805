//! A bound on every wait: whoever asks hears something in time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;

use super::Refusal;
use crate::{Served, Tier, TierError, Wanted};

/// A tier that answers or fails within a time. What is under way below when it is over is dropped.
#[derive(Debug)]
pub struct Deadline {
    below: Arc<dyn Tier>,
    deadline: Duration,
    missed: AtomicU64,
}

impl Deadline {
    /// This tier, with a time of `deadline` for each request.
    pub fn new(below: Arc<dyn Tier>, deadline: Duration) -> Self {
        Self { below, deadline, missed: AtomicU64::new(0) }
    }

    /// How many requests took too long.
    pub fn missed(&self) -> u64 {
        self.missed.load(Relaxed)
    }
}

#[async_trait]
impl Tier for Deadline {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        match tokio::time::timeout(self.deadline, self.below.get(wanted)).await {
            Ok(answer) => answer,
            Err(_) => {
                self.missed.fetch_add(1, Relaxed);
                Err(Refusal::DeadlineMissed { deadline: self.deadline }.into_error(wanted, &self.below))
            }
        }
    }
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "deadline({:?}) → {}", self.deadline, self.below)
    }
}
