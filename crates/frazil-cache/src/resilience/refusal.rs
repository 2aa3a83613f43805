//! Why a decorator has no answer, when it is not the tier below that said so.
//!
//! All of it is transient: the same request may well be answered a little later.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use frazil_store::StoreError;

use crate::{TierError, Wanted};

/// Why a decorator gave up; the source of a [`TierError::Transient`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The tier below did not answer in time.
    #[error("no answer within {} ms", deadline.as_millis())]
    DeadlineMissed {
        /// How long it had.
        deadline: Duration,
    },
    /// As many requests as may wait are waiting.
    #[error("{waiting} requests are waiting already")]
    Busy {
        /// How many.
        waiting: usize,
    },
}

impl Refusal {
    /// The refusal that an error comes from.
    pub fn of(error: &TierError) -> Option<Self> {
        source(error)?.downcast_ref().copied()
    }

    pub(super) fn into_error(self, wanted: &Wanted, tier: impl ToString) -> TierError {
        TierError::Transient { id: wanted.id, tier: tier.to_string(), source: Arc::new(self) }
    }
}

/// How long the store behind an error wants to be left alone.
pub(super) fn retry_after(error: &TierError) -> Option<Duration> {
    source(error)?.downcast_ref::<StoreError>()?.retry_after()
}

fn source(error: &TierError) -> Option<&(dyn Error + 'static)> {
    match error {
        TierError::Transient { source, .. } => Some(&**source),
        _ => None,
    }
}
