//! A bound on the requests that are under way at a tier, and on those that wait for it.
//!
//! Without it an empty cache asks an origin for everything at once, the origin slows down under the load, and every
//! answer that comes too late is asked for again: a state that does not end when its cause does.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Slots, Urgency};
use crate::{Served, Tier, TierError, Wanted};

/// A tier that only a fixed number of requests reach at a time. The others wait; beyond the queue's bound
/// they are refused.
#[derive(Debug)]
pub struct Limit {
    below: Arc<dyn Tier>,
    slots: Arc<Slots>,
}

impl Limit {
    /// This tier, behind these slots.
    pub fn new(below: Arc<dyn Tier>, slots: Arc<Slots>) -> Self {
        Self { below, slots }
    }
}

#[async_trait]
impl Tier for Limit {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let _slot = self
            .slots
            .take(Urgency::current())
            .await
            .map_err(|refusal| refusal.into_error(wanted, &self.below))?;
        self.below.get(wanted).await
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (slots, queue) = self.slots.size();
        write!(f, "limit({slots} + {queue} waiting) → {}", self.below)
    }
}
