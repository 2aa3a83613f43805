//! A tier that is watched: what comes of each request is a sign of its health.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::Health;
use crate::{ErrorClass, Served, Tier, TierError, Wanted};

/// A tier, watched. A no is an answer; wrong bytes and silence are none.
#[derive(Debug)]
pub struct Watch {
    below: Arc<dyn Tier>,
    health: Arc<Health>,
}

impl Watch {
    /// This tier, and where to note how it does.
    pub fn new(below: Arc<dyn Tier>, health: Arc<Health>) -> Self {
        Self { below, health }
    }
}

#[async_trait]
impl Tier for Watch {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let answer = self.below.get(wanted).await;
        match answer.as_ref().map_err(TierError::class) {
            Ok(_) | Err(ErrorClass::NotFound | ErrorClass::Denied) => self.health.answered(),
            Err(ErrorClass::Transient | ErrorClass::Corrupt | ErrorClass::Full) => self.health.failed(),
        }
        answer
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "watch → {}", self.below)
    }
}
