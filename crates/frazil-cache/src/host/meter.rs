//! What one tier was asked and how it answered, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ErrorClass, TierError};

/// The upper bounds of the latency histogram's buckets, in microseconds; one more bucket takes what is above: from
/// a hit in memory to the longest deadline.
pub const LATENCY_BOUNDS_US: [u64; 22] = [
    8, 16, 32, 64, 128, 256, 512, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000,
    512_000, 1_000_000, 2_000_000, 4_000_000, 16_000_000, 64_000_000,
];

/// The counters of one tier.
#[derive(Debug, Default)]
pub struct Meter {
    requests: AtomicU64,
    in_flight: AtomicU64,
    answers: AtomicU64,
    answer_bytes: AtomicU64,
    not_found: AtomicU64,
    corrupt: AtomicU64,
    transient: AtomicU64,
    denied: AtomicU64,
    abandoned: AtomicU64,
    sum_us: AtomicU64,
    buckets: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
}

/// What a [`Meter`] counted.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct MeterCounts {
    /// Questions.
    pub requests: u64,
    /// Questions that are not answered yet.
    pub in_flight: u64,
    /// Chunks that were given.
    pub answers: u64,
    /// Their sealed bytes.
    pub answer_bytes: u64,
    /// Questions for what is not there.
    pub not_found: u64,
    /// Answers that were wrong.
    pub corrupt: u64,
    /// Failures that may pass.
    pub transient: u64,
    /// Refusals.
    pub denied: u64,
    /// Questions whose asker did not wait.
    pub abandoned: u64,
    /// How long the chunks that were given took.
    pub latency: Latency,
}

/// A latency histogram.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// The sum of all latencies, in microseconds.
    pub sum_us: u64,
    /// How many took up to each of [`LATENCY_BOUNDS_US`] and longer than the one before; the last took longer
    /// than all.
    pub buckets: Vec<u64>,
}

impl Latency {
    /// How many were measured.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How many took longer than this, which is one of [`LATENCY_BOUNDS_US`], in microseconds.
    pub fn count_above(&self, bound_us: u64) -> u64 {
        let first = LATENCY_BOUNDS_US.partition_point(|bound| *bound <= bound_us);
        self.buckets.iter().skip(first).fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The upper bound of the bucket that holds this quantile (0 to 1), in microseconds; none without a sample.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        let count = self.count();
        let rank = (quantile.clamp(0.0, 1.0) * count as f64).ceil().max(1.0) as u64;
        let mut seen = 0_u64;
        let bounds = LATENCY_BOUNDS_US.iter().copied().chain([u64::MAX]);
        for (bucket, bound) in self.buckets.iter().zip(bounds) {
            seen = seen.saturating_add(*bucket);
            if count > 0 && seen >= rank {
                return Some(bound);
            }
        }
        None
    }
}

/// One question under way.
pub(super) struct Asked<'a> {
    meter: &'a Meter,
    answered: bool,
}

impl Meter {
    /// What was counted so far.
    pub fn counts(&self) -> MeterCounts {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        MeterCounts {
            requests: read(&self.requests),
            in_flight: read(&self.in_flight),
            answers: read(&self.answers),
            answer_bytes: read(&self.answer_bytes),
            not_found: read(&self.not_found),
            corrupt: read(&self.corrupt),
            transient: read(&self.transient),
            denied: read(&self.denied),
            abandoned: read(&self.abandoned),
            latency: Latency { sum_us: read(&self.sum_us), buckets: self.buckets.iter().map(read).collect() },
        }
    }

    /// Counts a question that was answered with `len` sealed bytes.
    pub fn answered(&self, len: usize, after: Duration) {
        self.asked().answered(len, after);
    }

    pub(super) fn asked(&self) -> Asked<'_> {
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        Asked { meter: self, answered: false }
    }
}

impl Asked<'_> {
    pub(super) fn answered(mut self, len: usize, after: Duration) {
        self.answered = true;
        let us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.meter.answers.fetch_add(1, Relaxed);
        self.meter.answer_bytes.fetch_add(len as u64, Relaxed);
        self.meter.sum_us.fetch_add(us, Relaxed);
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(bucket) = self.meter.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn failed(mut self, error: &TierError) {
        self.answered = true;
        let counter = match error.class() {
            ErrorClass::NotFound => &self.meter.not_found,
            ErrorClass::Corrupt => &self.meter.corrupt,
            ErrorClass::Denied => &self.meter.denied,
            ErrorClass::Transient | ErrorClass::Full => &self.meter.transient,
        };
        counter.fetch_add(1, Relaxed);
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.meter.in_flight.fetch_sub(1, Relaxed);
        if !self.answered {
            self.meter.abandoned.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_bounds_of_their_buckets() {
        let meter = Meter::default();
        assert_eq!(meter.counts().latency.quantile_us(0.5), None);
        for us in 1..=100 {
            meter.asked().answered(10, Duration::from_micros(us * 10));
        }
        let counts = meter.counts();
        assert_eq!((counts.answers, counts.answer_bytes, counts.in_flight), (100, 1000, 0));
        assert_eq!(counts.latency.count(), 100);
        assert_eq!(counts.latency.quantile_us(0.5), Some(512));
        assert_eq!(counts.latency.quantile_us(1.0), Some(1000));
        assert_eq!(counts.latency.count_above(512), 100 - 51);
        assert_eq!(counts.latency.count_above(1000), 0);
    }

    #[test]
    fn who_does_not_wait_for_an_answer_is_counted_as_such() {
        let meter = Meter::default();
        drop(meter.asked());
        assert_eq!((meter.counts().abandoned, meter.counts().in_flight), (1, 0));
    }
}
