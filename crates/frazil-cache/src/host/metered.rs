//! A tier that is counted. What a tier asks of the one below it are its misses, so a metered stack tells the hits
//! of every level, whatever the levels are.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;

use super::Meter;
use crate::{Served, Tier, TierError, Wanted};

/// Counts what goes through it, and is invisible otherwise.
#[derive(Debug)]
pub struct Metered {
    below: Arc<dyn Tier>,
    meter: Arc<Meter>,
}

impl Metered {
    /// The tier, counted by this meter.
    pub fn new(below: Arc<dyn Tier>, meter: Arc<Meter>) -> Self {
        Self { below, meter }
    }
}

#[async_trait]
impl Tier for Metered {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let (asked, start) = (self.meter.asked(), Instant::now());
        let answer = self.below.get(wanted).await;
        match &answer {
            Ok(served) => asked.answered(served.chunk.len(), start.elapsed()),
            Err(error) => asked.failed(error),
        }
        answer
    }
}

impl fmt::Display for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.below.fmt(f)
    }
}
