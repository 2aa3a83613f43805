//! How much may be on its way ahead of the readers.
//!
//! The window starts small and grows with every answer that comes as quickly as the quickest of late; answers that
//! take several times as long shrink it (the wire or the store is full, and readers queue behind what nobody waits
//! for yet); an error halves it, and several in a row make everything rest, each time longer. While the link is slow
//! in absolute terms, nothing starts while a reader waits, and only a few chunks may be ahead at all: then even
//! prefetches of no use cost next to nothing.

use std::time::{Duration, Instant};

use frazil_cache::Level;
use frazil_cache::resilience::Priority;

/// The window that everything starts with, and the widest: as many slots as an origin's limit leaves to prefetches.
const WINDOW_START: f64 = 4.0;
const WINDOW_MAX: f64 = 48.0;

/// Sealed bytes on their way, at most: 10 Gbit/s times 5 ms.
const BYTES_MAX: u64 = 6 << 20;

/// Noise that says nothing: a scheduler's time slice, a core that decodes.
const SLACK: Duration = Duration::from_millis(4);

/// Answers this many times slower than the quickest of late mean that something is full.
const FULL_FACTOR: u32 = 4;

/// Half of the time that the quickest answer is remembered for.
const BEST_AGE: Duration = Duration::from_secs(5);

/// A link is slow when its answers take this long: ten times what S3 takes.
const SLOW: Duration = Duration::from_millis(300);

/// Chunks that may be ahead of the readers on a slow link.
const AHEAD_ON_SLOW: usize = 8;

/// After this many errors in a row everything rests: for the first of these times, and twice as long each
/// next time, up to the last.
const FAILURES_BEFORE_REST: u32 = 2;
const REST_FIRST: Duration = Duration::from_millis(200);
const REST_LONGEST: Duration = Duration::from_secs(10);

/// The window and what it is judged by.
#[derive(Debug)]
pub(super) struct Pace {
    window: f64,
    is_starting: bool,
    in_flight: usize,
    bytes_in_flight: u64,
    /// The quickest answer of each level.
    best: [Best; Level::ALL.len()],
    /// How long answers take now: a moving average.
    recent: Duration,
    /// How long they would take if each were as quick as the quickest of its level: averaged in step with it.
    quickest: Duration,
    /// The share of the answers that are the origin's: a moving average, too.
    origin_share: f64,
    failures: u32,
    rests_until: Option<Instant>,
}

/// What is to be known of the moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene {
    pub(super) now: Instant,
    /// Readers that wait for a chunk.
    pub(super) readers: usize,
    /// Chunks that were fetched and not yet read.
    pub(super) ahead: usize,
}

/// Whether a prefetch may start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Now.
    Go,
    /// When something has landed.
    Wait,
    /// At this time.
    Rest(Instant),
}

/// The quickest answer of late: of this and of the last stretch of time.
#[derive(Debug, Default)]
struct Best {
    since: Option<Instant>,
    this: Option<Duration>,
    last: Option<Duration>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            window: WINDOW_START,
            is_starting: true,
            in_flight: 0,
            bytes_in_flight: 0,
            best: Default::default(),
            recent: Duration::ZERO,
            quickest: Duration::ZERO,
            origin_share: 1.0,
            failures: 0,
            rests_until: None,
        }
    }
}

impl Pace {
    /// Prefetches under way.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How long a fetch waits for a way to the origin that is free; none where the wire is full, so that more bytes
    /// would be more waiting, where most answers come from nearer, or before any came.
    pub(super) fn free_latency(&self) -> Option<Duration> {
        let is_known = !self.recent.is_zero();
        let is_full = self.recent > self.quickest * 2 + SLACK;
        (is_known && !is_full && self.origin_share >= 0.5).then_some(self.recent)
    }

    /// Whether a prefetch of `bytes` sealed bytes may start.
    pub(super) fn verdict(&self, bytes: u64, scene: Scene) -> Verdict {
        if let Some(until) = self.rests_until.filter(|until| *until > scene.now) {
            return Verdict::Rest(until);
        }
        if self.recent > SLOW && (scene.readers > 0 || scene.ahead >= AHEAD_ON_SLOW) {
            return Verdict::Wait;
        }
        let is_full = self.in_flight as f64 >= self.window
            || (self.in_flight > 0 && self.bytes_in_flight.saturating_add(bytes) > BYTES_MAX);
        if is_full { Verdict::Wait } else { Verdict::Go }
    }

    /// A prefetch starts.
    pub(super) fn starts(&mut self, bytes: u64) {
        self.in_flight += 1;
        self.bytes_in_flight += bytes;
    }

    /// A prefetch has ended, however it did.
    pub(super) fn ends(&mut self, bytes: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.bytes_in_flight = self.bytes_in_flight.saturating_sub(bytes);
    }

    /// An answer came after `latency`, for a reader or ahead of one. That a reader is answered says nothing
    /// of how prefetches fare.
    pub(super) fn answered(&mut self, now: Instant, began: Priority, by: Level, latency: Duration) {
        let best = self.best[by as usize].note(now, latency);
        if began == Priority::Prefetch {
            (self.failures, self.rests_until) = (0, None);
        }
        let averaged = |before: Duration, new| if before.is_zero() { new } else { (before * 7 + new) / 8 };
        (self.recent, self.quickest) = (averaged(self.recent, latency), averaged(self.quickest, best));
        let is_origin = f64::from(u8::from(by == Level::Origin));
        self.origin_share = self.origin_share.mul_add(7.0, is_origin) / 8.0;
        if began == Priority::Prefetch && latency <= best * 2 + SLACK {
            let step = if self.is_starting { 1.0 } else { 1.0 / self.window };
            self.window = (self.window + step).min(WINDOW_MAX);
        } else if latency > best * FULL_FACTOR + SLACK * 2 {
            self.is_starting = false;
            // Every answer of a full window says the same; together they halve it.
            self.window = (self.window - 0.5).max(1.0);
        } else if latency > best * 2 + SLACK {
            self.is_starting = false;
        }
    }

    /// An error came.
    pub(super) fn failed(&mut self, now: Instant) {
        self.is_starting = false;
        self.window = (self.window / 2.0).max(1.0);
        self.failures = self.failures.saturating_add(1);
        if let Some(rests) = self.failures.checked_sub(FAILURES_BEFORE_REST) {
            let rest = REST_FIRST.saturating_mul(1 << rests.min(16)).min(REST_LONGEST);
            self.rests_until = Some(now + rest);
        }
    }
}

impl Best {
    fn note(&mut self, now: Instant, latency: Duration) -> Duration {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= BEST_AGE) {
            (self.last, self.this, self.since) = (self.this, None, Some(now));
        }
        let this = self.this.map_or(latency, |this| this.min(latency));
        self.this = Some(this);
        self.last.map_or(this, |last| last.min(this))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB_64: u64 = 64 << 10;
    const MS: Duration = Duration::from_millis(1);

    fn scene(now: Instant) -> Scene {
        Scene { now, readers: 0, ahead: 0 }
    }

    fn widest(pace: &mut Pace, now: Instant) -> usize {
        let mut started = 0;
        while pace.verdict(KIB_64, scene(now)) == Verdict::Go {
            pace.starts(KIB_64);
            started += 1;
        }
        (0..started).for_each(|_| pace.ends(KIB_64));
        started
    }

    #[test]
    fn the_window_starts_small_grows_on_a_quick_link_and_is_bounded() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(widest(&mut pace, now), 4);
        (0..20).for_each(|_| pace.answered(now, Priority::Prefetch, Level::Origin, MS * 5));
        assert_eq!(widest(&mut pace, now), 24);
        (0..1000).for_each(|_| pace.answered(now, Priority::Prefetch, Level::Origin, MS * 5));
        assert_eq!(widest(&mut pace, now), 48);
        pace.starts(KIB_64);
        assert_eq!(pace.verdict(BYTES_MAX, scene(now)), Verdict::Wait);
    }

    #[test]
    fn answers_that_queue_shrink_the_window_to_one() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        (0..100).for_each(|_| pace.answered(now, Priority::Prefetch, Level::Origin, MS * 5));
        (0..100).for_each(|_| pace.answered(now, Priority::Prefetch, Level::Origin, MS * 60));
        assert_eq!(widest(&mut pace, now), 1);
    }

    #[test]
    fn a_fetch_waits_for_a_free_way_while_most_answers_are_the_origins_and_none_much_later_than_at_its_best()
    {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.free_latency(), None, "nobody knows yet");
        for _ in 0..50 {
            pace.answered(now, Priority::Demand, Level::Memory, MS / 10);
            (0..3).for_each(|_| pace.answered(now, Priority::Demand, Level::Origin, MS * 30));
        }
        let latency = pace.free_latency();
        assert!(latency > Some(MS * 20) && latency < Some(MS * 30), "{latency:?}");
        (0..20).for_each(|_| pace.answered(now, Priority::Demand, Level::Memory, MS * 2));
        assert_eq!(pace.free_latency(), None, "chunks come from nearer");
        (0..20).for_each(|_| pace.answered(now, Priority::Demand, Level::Origin, MS * 30));
        (0..20).for_each(|_| pace.answered(now, Priority::Demand, Level::Origin, MS * 90));
        assert_eq!(pace.free_latency(), None, "the wire is full");
        (0..20).for_each(|_| pace.answered(now, Priority::Demand, Level::Origin, MS * 31));
        assert!(pace.free_latency() > Some(MS * 30));
    }

    #[test]
    fn errors_halve_the_window_and_then_everything_rests_longer_each_time() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        (0..12).for_each(|_| pace.answered(now, Priority::Prefetch, Level::Origin, MS));
        pace.failed(now);
        assert_eq!(widest(&mut pace, now), 8);
        pace.failed(now);
        assert_eq!(pace.verdict(KIB_64, scene(now)), Verdict::Rest(now + REST_FIRST));
        (0..100).for_each(|_| pace.failed(now));
        assert_eq!(pace.verdict(KIB_64, scene(now)), Verdict::Rest(now + REST_LONGEST));
        let later = now + REST_LONGEST;
        assert_eq!(widest(&mut pace, later), 1, "one looks whether it is over");
        pace.answered(later, Priority::Prefetch, Level::Origin, MS);
        assert_eq!(pace.verdict(KIB_64, scene(later)), Verdict::Go);
    }

    #[test]
    fn on_a_slow_link_readers_go_alone_and_little_is_ahead() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.answered(now, Priority::Prefetch, Level::Origin, MS * 500);
        assert_eq!(pace.verdict(KIB_64, scene(now)), Verdict::Go);
        assert_eq!(pace.verdict(KIB_64, Scene { readers: 1, ..scene(now) }), Verdict::Wait);
        assert_eq!(pace.verdict(KIB_64, Scene { ahead: AHEAD_ON_SLOW, ..scene(now) }), Verdict::Wait);
    }
}
