//! One direction's bandwidth: a clock that says when a piece has left.
//!
//! Invariant: over any span of time longer than [`CREDIT`], no more leaves than the bandwidth allows.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Time that was not used may be made up for within this span: a thread that was woken late loses nothing.
const CREDIT: Duration = Duration::from_millis(1);

/// A direction of a link.
pub(super) struct Bandwidth(Mutex<Clock>);

struct Clock {
    bits_per_second: f64,
    free_at: Instant,
}

impl Bandwidth {
    pub(super) fn new(bits_per_second: f64) -> Self {
        Self(Mutex::new(Clock { bits_per_second, free_at: Instant::now() }))
    }

    /// From now on it is so wide.
    pub(super) fn change(&self, bits_per_second: f64) {
        self.lock().bits_per_second = bits_per_second;
    }

    /// Takes the direction for a piece of `len` bytes, after those who came earlier; when its last byte has left.
    pub(super) fn take(&self, len: usize) -> Instant {
        let mut clock = self.lock();
        let time = Duration::from_secs_f64(len as f64 * 8.0 / clock.bits_per_second);
        let earliest = Instant::now().checked_sub(CREDIT).unwrap_or(clock.free_at);
        clock.free_at = earliest.max(clock.free_at) + time;
        clock.free_at
    }

    fn lock(&self) -> MutexGuard<'_, Clock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_take_at_once_leaves_one_after_the_other() {
        let started = Instant::now();
        let direction = Bandwidth::new(8e6);
        let last = (0..10).map(|_| direction.take(100_000)).max().unwrap_or(started);
        let all = last.duration_since(started);
        assert!(all >= Duration::from_millis(998), "a megabyte at a megabyte a second left after {all:?}");
    }
}
