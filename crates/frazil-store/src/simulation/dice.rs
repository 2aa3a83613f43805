//! The one source of chance in a simulation: a seed is a schedule.

use std::cell::RefCell;
use std::time::Duration;

thread_local! {
    /// What the code under test draws when it wants random bytes.
    static BYTES: RefCell<Option<fastrand::Rng>> = const { RefCell::new(None) };
}

/// Makes this thread's random bytes come from a seed, or from the kernel again.
pub(super) fn seed_bytes(seed: Option<u64>) {
    BYTES.with_borrow_mut(|bytes| *bytes = seed.map(fastrand::Rng::with_seed));
}

/// Fills the bytes if this thread has a seed; says whether it did.
pub(crate) fn fill(bytes: &mut [u8]) -> bool {
    BYTES.with_borrow_mut(|seeded| match seeded {
        Some(rng) => {
            rng.fill(bytes);
            true
        }
        None => false,
    })
}

/// Chance, in the words of a schedule.
#[derive(Debug)]
pub(super) struct Dice(fastrand::Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Whether something comes up that has this many chances in a thousand.
    pub(super) fn permille(&mut self, chances: u32) -> bool {
        self.0.u32(0..1000) < chances
    }

    pub(super) fn below(&mut self, end: u32) -> u32 {
        self.0.u32(0..end.max(1))
    }

    /// A duration between two others.
    pub(super) fn between(&mut self, shortest: Duration, longest: Duration) -> Duration {
        let (shortest, longest) = (shortest.as_millis() as u64, longest.as_millis() as u64);
        Duration::from_millis(self.0.u64(shortest..=longest.max(shortest)))
    }
}
