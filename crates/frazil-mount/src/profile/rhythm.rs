//! How a bundle comes: how long its silences are, and which of them say that it is not worth waiting for.
//!
//! What is usual is learnt from the bundle itself, so that one over a narrow link is waited for and one that ends in its
//! middle is not. Before anything of it has come, the way to the store says what to expect.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest silence that says something: a scheduler's time slices.
const SILENCE_MIN: Duration = Duration::from_millis(20);

/// No bundle is given up before a silence this long, and no reader waits longer for the first of it: S3's
/// slowest answer of a thousand takes as long. Whoever does not know the way to the store waits for as long.
const SILENCE_MAX: Duration = Duration::from_millis(200);

/// How long a reader waits, at the most, for a bundle that comes: this time, or until this many of its
/// segments have come. What it reads is then farther away than it was for those who recorded the start.
const PATIENCE_MAX: Duration = Duration::from_secs(1);
const PATIENCE_SEGMENTS: u32 = 3;

/// The rhythm of one bundle.
pub(super) struct Rhythm {
    /// How long a few round trips to the store take, as it was measured.
    way: Duration,
    /// When the bundle was asked for, or when something of it came, whichever was last.
    last_sign: Instant,
    /// How long the bundle is silent between two pieces: the longest of late.
    usual_silence: Option<Duration>,
    last_segment: Option<Instant>,
    /// How long a segment takes: the longest of late, and a moving average.
    usual_segment: Duration,
    mean_segment: Option<Duration>,
}

impl Rhythm {
    pub(super) fn new(way: Option<Duration>, now: Instant) -> Self {
        Self {
            way: way.unwrap_or(SILENCE_MAX),
            last_sign: now,
            usual_silence: None,
            last_segment: None,
            usual_segment: Duration::ZERO,
            mean_segment: None,
        }
    }

    /// The bundle was asked for.
    pub(super) fn sign(&mut self, now: Instant) {
        self.last_sign = now;
    }

    /// The bundle goes on after this side made it wait: that time is neither its silence nor a segment's.
    pub(super) fn resumed(&mut self, now: Instant) {
        self.last_sign = now;
        self.last_segment = Some(now);
    }

    /// A piece of the bundle came, of whatever length.
    pub(super) fn piece(&mut self, now: Instant) {
        let silence = now.saturating_duration_since(self.last_sign);
        self.usual_silence = Some(longest_of_late(self.usual_silence.unwrap_or_default(), silence));
        self.last_sign = now;
    }

    /// A segment of the bundle came.
    pub(super) fn segment(&mut self, now: Instant) {
        if let Some(last) = self.last_segment.replace(now) {
            let took = now.saturating_duration_since(last);
            self.usual_segment = longest_of_late(self.usual_segment, took);
            self.mean_segment = Some(self.mean_segment.map_or(took, |mean| (mean * 15 + took) / 16));
        }
    }

    /// How many segments come in this time; none if that is not known yet.
    pub(super) fn segments_in(&self, time: Duration) -> Option<usize> {
        let segments = time.as_nanos().checked_div(self.mean_segment?.as_nanos())?;
        Some(usize::try_from(segments).unwrap_or(usize::MAX))
    }

    /// Until when a reader that has waited since `began` goes on waiting, if nothing comes before.
    pub(super) fn worth_waiting(&self, began: Instant) -> Instant {
        let way = self.way.clamp(SILENCE_MIN, SILENCE_MAX);
        let silence = self.usual_silence.map_or(way, |usual| way.max(usual * 2));
        let patience = PATIENCE_MAX.max(self.usual_segment * PATIENCE_SEGMENTS);
        (self.last_sign + silence.min(patience)).min(began + patience)
    }

    /// Whether a reader that asked below at that time, and is answered now, tells that nothing will come.
    /// That reader may have been quicker over an open connection than a bundle that must open one: so the
    /// bundle has the time of the whole way, and of twice its usual silence.
    pub(super) fn is_overtaken(&self, asked: Instant, now: Instant) -> bool {
        let usual = self.usual_silence.unwrap_or_default();
        let silence = SILENCE_MAX.max(self.way).max(usual * 2);
        self.last_sign < asked && now.saturating_duration_since(self.last_sign) >= silence
    }
}

/// The longest of late: one that is long is forgotten after some that are not.
fn longest_of_late(so_far: Duration, next: Duration) -> Duration {
    next.max(so_far * 7 / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn before_anything_has_come_the_way_says_how_long_to_wait() {
        let now = Instant::now();
        let wait = |way: Option<Duration>| Rhythm::new(way, now).worth_waiting(now) - now;
        assert_eq!(wait(Some(MS)), SILENCE_MIN);
        assert_eq!(wait(Some(MS * 90)), MS * 90);
        assert_eq!(wait(Some(MS * 900)), SILENCE_MAX);
        assert_eq!(wait(None), SILENCE_MAX);
    }

    #[test]
    fn a_bundle_over_a_narrow_link_is_waited_for_and_one_that_ends_is_not() {
        let start = Instant::now();
        let (mut rhythm, mut now) = (Rhythm::new(Some(MS * 15), start), start);
        for piece in 1..=40 {
            now += MS * 150;
            rhythm.piece(now);
            if piece % 4 == 0 {
                rhythm.segment(now);
            }
        }
        assert_eq!(rhythm.worth_waiting(now), now + MS * 300, "twice what is usual");
        assert_eq!(rhythm.worth_waiting(now - MS * 1700), now + MS * 100, "the time of three segments");
        assert_eq!(rhythm.segments_in(MS * 1300), Some(2));
        for _ in 0..200 {
            now += MS;
            rhythm.piece(now);
        }
        assert_eq!(rhythm.worth_waiting(now), now + SILENCE_MIN, "it has become quick");
    }

    #[test]
    fn it_is_overtaken_by_who_asked_after_its_last_sign_and_was_answered_after_a_long_silence() {
        let start = Instant::now();
        let rhythm = Rhythm::new(None, start);
        assert!(!rhythm.is_overtaken(start + MS * 20, start + MS * 30));
        assert!(rhythm.is_overtaken(start + MS * 190, start + SILENCE_MAX));
        assert!(!rhythm.is_overtaken(start, start + SILENCE_MAX), "it was asked for at the same time");
    }

    #[test]
    fn a_bundle_that_opens_a_connection_to_a_far_store_is_not_overtaken_over_one_that_stands() {
        let start = Instant::now();
        let rhythm = Rhythm::new(Some(MS * 400), start);
        let asked = rhythm.worth_waiting(start);
        assert_eq!(asked, start + SILENCE_MAX, "its readers ask below meanwhile");
        assert!(!rhythm.is_overtaken(asked, start + MS * 320));
        assert!(rhythm.is_overtaken(asked, start + MS * 400));
    }

    #[test]
    fn a_bundle_whose_pieces_are_far_apart_is_not_overtaken_between_two_of_them() {
        let start = Instant::now();
        let (mut rhythm, mut now) = (Rhythm::new(Some(MS * 15), start), start);
        for _ in 0..10 {
            now += MS * 300;
            rhythm.piece(now);
        }
        assert!(!rhythm.is_overtaken(now + MS * 100, now + MS * 290));
        assert!(!rhythm.is_overtaken(now + MS * 100, now + MS * 590));
        assert!(rhythm.is_overtaken(now + MS * 100, now + MS * 600), "it has ended in its middle");
    }

    #[test]
    fn the_time_for_which_it_waited_for_room_is_no_segment_s() {
        let start = Instant::now();
        let (mut rhythm, mut now) = (Rhythm::new(Some(MS * 15), start), start);
        for segment in 0..20 {
            now += MS * 100;
            rhythm.piece(now);
            rhythm.segment(now);
            if segment == 10 {
                now += PATIENCE_MAX * 10;
                rhythm.resumed(now);
            }
        }
        assert_eq!(rhythm.segments_in(MS * 1000), Some(10));
        assert_eq!(rhythm.worth_waiting(now), now + MS * 200, "twice the usual silence");
        let began = now - MS * 900;
        assert_eq!(rhythm.worth_waiting(began), began + PATIENCE_MAX, "three segments take less");
    }
}
