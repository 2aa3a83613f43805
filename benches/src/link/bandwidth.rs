//! One direction's bandwidth: a clock that says when a piece has left.
//!
//! Invariant: over any span of time longer than [`CREDIT`], no more leaves than the bandwidth allows.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time that was not used may be made up for within this span: a thread that was woken late loses nothing.
const CREDIT: Duration = Duration::from_millis(1);

/// A direction of a link.
pub(super) struct Bandwidth {
    bits_per_second: f64,
    free_at: Mutex<Instant>,
}

impl Bandwidth {
    pub(super) fn new(bits_per_second: f64) -> Self {
        Self { bits_per_second, free_at: Mutex::new(Instant::now()) }
    }

    /// Takes the direction for a piece of `len` bytes, after those who came earlier; when its last byte has left.
    pub(super) fn take(&self, len: usize) -> Instant {
        let time = Duration::from_secs_f64(len as f64 * 8.0 / self.bits_per_second);
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = Instant::now().checked_sub(CREDIT).unwrap_or(*free_at);
        *free_at = earliest.max(*free_at) + time;
        *free_at
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
