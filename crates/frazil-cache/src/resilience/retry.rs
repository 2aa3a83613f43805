//! Trying again, within a budget.
//!
//! The invariants: only what may work is tried again; each pause is random between nothing and a bound that doubles
//! (full jitter), and never shorter than a store asks for; and retries in all stay within a [`Budget`], so that an
//! origin that fails gets a little more than its usual load and not a multiple of it. A retry for which there is no
//! token yet waits for one, for as long as a deadline above allows: an outage shorter than that is no error.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::{Budget, BudgetOptions, Priority, Refusal, Urgency, refusal};
use crate::{ErrorClass, Served, Tier, TierError, Wanted};

/// How often wrong bytes are fetched again: the first may be the wire's fault, the same again is the store's.
const CORRUPT_RETRIES: u32 = 1;

/// How often, and when, to try again.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RetryOptions {
    /// How often a request is made, the first time included.
    pub attempts: u32,
    /// The bound of the first pause; that of each next one is twice as long.
    pub first_pause: Duration,
    /// The longest bound of a pause.
    pub longest_pause: Duration,
    /// The longest time that a store may ask to be left alone for, or a token may be waited for; a request
    /// that would have to wait longer gets the error at once.
    pub patience: Duration,
    /// What all retries together may cost.
    pub budget: BudgetOptions,
}

/// What came of trying again.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RetryCounts {
    /// Requests from above.
    pub requests: u64,
    /// Requests that were made again.
    pub retries: u64,
    /// Errors that were passed up although trying again might have helped.
    pub given_up: u64,
    /// Wrong bytes that came from below, and were not served.
    pub corrupt: u64,
}

/// A tier that tries again.
#[derive(Debug)]
pub struct Retry {
    below: Arc<dyn Tier>,
    options: RetryOptions,
    budget: Budget,
    dice: Mutex<fastrand::Rng>,
    counters: Counters,
}

#[derive(Default, Debug)]
struct Counters {
    requests: AtomicU64,
    retries: AtomicU64,
    given_up: AtomicU64,
    corrupt: AtomicU64,
}

impl Retry {
    /// This tier, tried again. The random numbers decide how long pauses are.
    pub fn new(below: Arc<dyn Tier>, options: RetryOptions, dice: fastrand::Rng) -> Self {
        let budget = Budget::new(options.budget);
        Self { below, options, budget, dice: Mutex::new(dice), counters: Counters::default() }
    }

    /// What came of it so far.
    pub fn counts(&self) -> RetryCounts {
        RetryCounts {
            requests: self.counters.requests.load(Relaxed),
            retries: self.counters.retries.load(Relaxed),
            given_up: self.counters.given_up.load(Relaxed),
            corrupt: self.counters.corrupt.load(Relaxed),
        }
    }

    /// How long to wait before the next attempt; `None` if there is to be none.
    fn pause(&self, error: &TierError, attempt: u32) -> Option<Duration> {
        let attempts = match error.class() {
            ErrorClass::Transient => self.options.attempts,
            ErrorClass::Corrupt => {
                self.counters.corrupt.fetch_add(1, Relaxed);
                self.options.attempts.min(1 + CORRUPT_RETRIES)
            }
            ErrorClass::NotFound | ErrorClass::Denied | ErrorClass::Full => return None,
        };
        // An intact chunk of another length is what the store has: no other copy will differ.
        if attempt >= attempts || matches!(error, TierError::WrongLength { .. }) {
            return None;
        }
        let asked_for = refusal::retry_after(error).unwrap_or_default();
        if asked_for > self.options.patience {
            return None;
        }
        let pause = self.jitter(attempt).max(asked_for);
        // What was refused on this side cost the origin nothing, and neither does asking here again.
        if matches!(Refusal::of(error), Some(Refusal::Busy { .. })) {
            return Some(pause);
        }
        // The budget is for those who wait: whoever fetches ahead can do without, and learns that there is trouble.
        if Urgency::current().priority() == Priority::Prefetch {
            return None;
        }
        let token = self.budget.reserve(self.options.patience)?;
        Some(pause.max(token))
    }

    /// Anything between nothing and the bound of this pause.
    fn jitter(&self, attempt: u32) -> Duration {
        let doubled = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let bound = self.options.first_pause.saturating_mul(doubled).min(self.options.longest_pause);
        let share = self.dice.lock().unwrap_or_else(PoisonError::into_inner).f64();
        bound.mul_f64(share)
    }
}

#[async_trait]
impl Tier for Retry {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        self.counters.requests.fetch_add(1, Relaxed);
        self.budget.deposit();
        // `pause` bounds the attempts.
        let mut attempt = 1;
        loop {
            let error = match self.below.get(wanted).await {
                Ok(chunk) => return Ok(chunk),
                Err(error) => error,
            };
            let Some(pause) = self.pause(&error, attempt) else {
                if error.class() == ErrorClass::Transient {
                    self.counters.given_up.fetch_add(1, Relaxed);
                }
                return Err(error);
            };
            tracing::debug!(id = %wanted.id, attempt, ?pause, %error, "trying again");
            tokio::time::sleep(pause).await;
            self.counters.retries.fetch_add(1, Relaxed);
            attempt += 1;
        }
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "retry({} attempts) → {}", self.options.attempts, self.below)
    }
}
