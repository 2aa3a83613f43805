//! When a node is worth asking: a circuit breaker with one probe at a time.
//!
//! The invariant: a node that failed too often in a row is asked once per cooldown, by a read that does not
//! depend on it, until it answers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::jitter::spread;

/// How many failures in a row open the breaker.
const MAX_FAILURES: u32 = 5;

/// How long a node is left alone at first; every failed probe doubles it.
const FIRST_COOLDOWN: Duration = Duration::from_millis(100);

/// The longest that a node is left alone.
const MAX_COOLDOWN: Duration = Duration::from_secs(5);

#[derive(Default, Debug)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Default, Debug)]
struct State {
    failures: u32,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    until: Instant,
    cooldown: Duration,
    /// Whether the node was asked since the breaker opened.
    is_probed: bool,
}

impl Breaker {
    /// Whether a read may ask the node now. If the breaker is open, that read is the probe, so ask only to
    /// make it.
    pub(super) fn admits_read(&self) -> bool {
        let mut state = self.state();
        match &mut state.open {
            None => true,
            Some(open) if Instant::now() < open.until => false,
            Some(open) => {
                // Should the probe be lost, the next one is due in as long again.
                open.until = Instant::now() + spread(open.cooldown);
                open.is_probed = true;
                true
            }
        }
    }

    /// Whether the node answers, as far as is known.
    pub(super) fn is_closed(&self) -> bool {
        self.state().open.is_none()
    }

    /// The node answered.
    pub(super) fn answered(&self) {
        *self.state() = State::default();
    }

    /// The node failed: a connection to it broke, or could not be made. However many questions went with it, that
    /// is one failure, or a hiccup of this host would shut out a fleet that is well.
    pub(super) fn failed(&self) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1);
        let cooldown = match state.open {
            // What was under way when it opened says nothing new.
            Some(Open { is_probed: false, .. }) => return,
            Some(open) => open.cooldown.saturating_mul(2).min(MAX_COOLDOWN),
            None if state.failures >= MAX_FAILURES => FIRST_COOLDOWN,
            None => return,
        };
        let until = Instant::now() + spread(cooldown);
        state.open = Some(Open { until, cooldown, is_probed: false });
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Every change is one assignment: a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_node_that_keeps_failing_is_probed_once_per_cooldown_until_it_answers() {
        let breaker = Breaker::default();
        (1..MAX_FAILURES).for_each(|_| breaker.failed());
        assert!(breaker.is_closed() && breaker.admits_read());
        breaker.failed();
        assert!(!breaker.is_closed() && !breaker.admits_read());
        tokio::time::advance(FIRST_COOLDOWN).await;
        assert!(breaker.admits_read(), "the probe");
        assert!(!breaker.admits_read(), "one probe, not two");
        breaker.failed();
        tokio::time::advance(FIRST_COOLDOWN / 2).await;
        assert!(!breaker.admits_read(), "a failed probe doubles the wait");
        tokio::time::advance(FIRST_COOLDOWN * 2).await;
        assert!(breaker.admits_read());
        breaker.answered();
        assert!(breaker.is_closed() && breaker.admits_read());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_that_are_not_in_a_row_do_not_count() {
        let breaker = Breaker::default();
        for _ in 0..10 {
            (1..MAX_FAILURES).for_each(|_| breaker.failed());
            breaker.answered();
        }
        assert!(breaker.is_closed());
    }
}
