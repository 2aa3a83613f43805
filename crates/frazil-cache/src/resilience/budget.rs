//! A token bucket: how many requests may be made that nobody asked for.
//!
//! Invariant: over any time, no more tokens are spent than the bucket began with, plus a share of the
//! requests that were made, plus a fixed number a second. Retries and hedges are such requests; with a budget
//! they cannot double a load.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What fills a bucket.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct BudgetOptions {
    /// Tokens for each request that somebody made: 0.05 allows 5 % more of them.
    pub per_request: f64,
    /// Tokens a second, for when requests are few.
    pub per_second: f64,
    /// What the bucket begins with.
    pub initial: f64,
    /// The most that it holds.
    pub burst: f64,
}

/// A token bucket.
#[derive(Debug)]
pub struct Budget {
    options: BudgetOptions,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// Negative when tokens are spent that are yet to come.
    tokens: f64,
    at: Instant,
}

impl Budget {
    /// A bucket as it begins.
    pub fn new(options: BudgetOptions) -> Self {
        Self { options, state: Mutex::new(State { tokens: options.initial, at: Instant::now() }) }
    }

    /// Somebody made a request.
    pub fn deposit(&self) {
        let mut state = self.now();
        state.tokens = (state.tokens + self.options.per_request).min(self.options.burst);
    }

    /// Spends a token that is there.
    pub fn spend(&self) -> Option<()> {
        let mut state = self.now();
        (state.tokens >= 1.0).then(|| state.tokens -= 1.0)
    }

    /// Spends a token that is there or comes in time, and says after how long it may be used. First come,
    /// first served.
    pub fn reserve(&self, patience: Duration) -> Option<Duration> {
        let mut state = self.now();
        let missing = 1.0 - state.tokens;
        let wait = if missing <= 0.0 {
            Duration::ZERO
        } else {
            // Without a refill a token never comes.
            Duration::try_from_secs_f64(missing / self.options.per_second).ok()?
        };
        (wait <= patience).then(|| {
            state.tokens -= 1.0;
            wait
        })
    }

    /// The bucket, filled up to this moment.
    fn now(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let since = now.saturating_duration_since(state.at).as_secs_f64();
        state.tokens = (state.tokens + since * self.options.per_second).min(self.options.burst);
        state.at = now;
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_share_of_the_requests_and_no_more_is_spent() {
        let share = BudgetOptions { per_request: 0.05, per_second: 0.0, initial: 0.0, burst: 10.0 };
        let budget = Budget::new(share);
        let mut spent = 0;
        for _ in 0..1000 {
            budget.deposit();
            spent += usize::from(budget.spend().is_some());
        }
        assert!((49..=50).contains(&spent), "{spent}");
        (0..10_000).for_each(|_| budget.deposit());
        let saved = (0..100).filter(|_| budget.spend().is_some()).count();
        assert_eq!(saved, 10, "more than the burst is not saved");
        assert_eq!(budget.reserve(Duration::MAX), None, "nothing ever comes");
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_that_are_yet_to_come_are_waited_for_in_turn() {
        let budget =
            Budget::new(BudgetOptions { per_request: 0.0, per_second: 4.0, initial: 1.0, burst: 2.0 });
        let patience = Duration::from_millis(600);
        let waits: Vec<_> = (0..5).map(|_| budget.reserve(patience)).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(waits, [ms(0), ms(250), ms(500), None, None]);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((budget.spend(), budget.spend(), budget.spend()), (Some(()), Some(()), None));
    }
}
