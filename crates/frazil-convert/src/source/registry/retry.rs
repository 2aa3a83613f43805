//! How often and how fast a registry is asked again.
//!
//! Invariant: every operation ends, after `attempts` tries of at most `timeout` each, with pauses of at most
//! `max_delay` between them.

use std::future::Future;
use std::time::Duration;

use super::SourceError;

/// Bounds on the patience with a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries of one request, the first included.
    pub attempts: u32,
    /// The longest pause before the first repetition; it doubles with each.
    pub base_delay: Duration,
    /// The longest pause before any repetition, and what a registry's `Retry-After` is cut to.
    pub max_delay: Duration,
    /// How long to wait for a connection, for an answer, and for the next bytes of a body.
    pub timeout: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            base_delay: Duration::from_millis(250),
            max_delay: Duration::from_secs(15),
            timeout: Duration::from_secs(30),
        }
    }
}

/// Why a try failed, and whether another makes sense.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: SourceError,
    pub(super) again: Again,
}

/// When to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    Never,
    /// After a pause of our choice.
    Backoff,
    /// After the pause that the registry asked for.
    After(Duration),
}

impl Failure {
    pub(super) fn last(error: SourceError) -> Self {
        Self { error, again: Again::Never }
    }

    pub(super) fn transient(error: SourceError) -> Self {
        Self { error, again: Again::Backoff }
    }
}

impl RetryPolicy {
    /// Repeats `operation` while it fails for a transient reason, within the bounds.
    pub(super) async fn run<T, F>(&self, mut operation: impl FnMut() -> F) -> Result<T, SourceError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut attempt = 1;
        loop {
            let failure = match operation().await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let delay = match failure.again {
                Again::Never => return Err(failure.error),
                _ if attempt >= self.attempts => return Err(failure.error),
                Again::Backoff => self.backoff(attempt),
                Again::After(delay) => delay.min(self.max_delay),
            };
            tracing::debug!(attempt, ?delay, error = %failure.error, "asking the registry again");
            tokio::time::sleep(delay).await;
            attempt += 1;
        }
    }

    /// A pause before repetition `attempt` (from 1): anywhere up to the exponential bound, so that many
    /// clients that failed together do not come back together.
    pub(super) fn backoff(&self, attempt: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let bound = self.base_delay.saturating_mul(doubled).min(self.max_delay);
        bound.mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn failure() -> SourceError {
        SourceError::Timeout { host: "test".to_owned(), seconds: 1 }
    }

    #[tokio::test]
    async fn only_transient_failures_are_repeated_and_not_for_ever() {
        let policy = RetryPolicy { base_delay: Duration::ZERO, attempts: 3, ..RetryPolicy::default() };
        let tries = Cell::new(0);
        let count = || tries.set(tries.get() + 1);
        let result: Result<(), _> = policy
            .run(async || {
                count();
                Err(Failure::transient(failure()))
            })
            .await;
        assert!(result.is_err());
        assert_eq!(tries.replace(0), 3);
        let result: Result<(), _> = policy
            .run(async || {
                count();
                Err(Failure::last(failure()))
            })
            .await;
        assert!(result.is_err());
        assert_eq!(tries.get(), 1);
    }

    #[test]
    fn pauses_stay_within_their_bound() {
        let policy = RetryPolicy::default();
        for attempt in 1..100 {
            assert!(policy.backoff(attempt) <= policy.max_delay);
        }
        assert!(policy.backoff(1) <= policy.base_delay);
    }
}
