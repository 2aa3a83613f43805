//! How long answers took of late: a ring of the last ones, for a quantile of them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many answers are remembered. A quantile of them takes a microsecond or two.
const REMEMBERED: usize = 256;

/// How many it takes for a quantile to mean anything.
const ENOUGH: usize = 20;

/// The latencies of the last answers.
#[derive(Default, Debug)]
pub(super) struct Latencies(Mutex<Ring>);

#[derive(Default, Debug)]
struct Ring {
    latencies: Vec<Duration>,
    oldest: usize,
}

impl Latencies {
    pub(super) fn record(&self, latency: Duration) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = ring.oldest;
        match ring.latencies.get_mut(oldest).filter(|_| oldest < REMEMBERED) {
            Some(place) => *place = latency,
            None => ring.latencies.push(latency),
        }
        ring.oldest = (oldest + 1) % REMEMBERED;
    }

    /// The latency that this share of the answers stays below; `None` while there are too few.
    pub(super) fn quantile(&self, share: f64) -> Option<Duration> {
        let mut latencies = self.0.lock().unwrap_or_else(PoisonError::into_inner).latencies.clone();
        if latencies.len() < ENOUGH {
            return None;
        }
        let last = latencies.len() - 1;
        // A share is no more than one, and the ring is short: the product is an index.
        let at = ((latencies.len() as f64 * share.clamp(0.0, 1.0)) as usize).min(last);
        Some(*latencies.select_nth_unstable(at).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_that_of_the_last_answers() {
        let (latencies, ms) = (Latencies::default(), Duration::from_millis);
        (1..20).for_each(|n| latencies.record(ms(n)));
        assert_eq!(latencies.quantile(0.95), None, "too few");
        (20..=100).for_each(|n| latencies.record(ms(n)));
        assert_eq!(latencies.quantile(0.95), Some(ms(96)));
        assert_eq!((latencies.quantile(0.0), latencies.quantile(1.0)), (Some(ms(1)), Some(ms(100))));
        (0..REMEMBERED).for_each(|_| latencies.record(ms(7)));
        assert_eq!((latencies.quantile(0.0), latencies.quantile(1.0)), (Some(ms(7)), Some(ms(7))));
    }
}
