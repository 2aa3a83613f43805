//! Whether a tier is failing, from what came of the last requests.
//!
//! A window of ten seconds in ten pieces. It forgets by itself: a tier that nobody asks any more counts as
//! well again, and the next requests find out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many pieces the window has.
const PIECES: usize = 10;

/// How long a piece of it is.
const PIECE: Duration = Duration::from_secs(1);

/// The outcomes of the last ten seconds.
#[derive(Debug)]
pub struct Health {
    since: Instant,
    window: Mutex<[Piece; PIECES]>,
}

#[derive(Clone, Copy, Default, Debug)]
struct Piece {
    /// Which piece of all time this is.
    number: u64,
    answered: u64,
    failed: u64,
}

impl Health {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self { since: Instant::now(), window: Mutex::default() }
    }

    /// A request was answered, be it with a no.
    pub fn answered(&self) {
        self.record(|piece| piece.answered += 1);
    }

    /// A request got no answer.
    pub fn failed(&self) {
        self.record(|piece| piece.failed += 1);
    }

    /// How many requests of the last ten seconds were answered, and how many were not.
    pub fn outcomes(&self) -> (u64, u64) {
        let now = self.piece();
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = window.iter().filter(|piece| piece.number + PIECES as u64 > now);
        recent.fold((0, 0), |(answered, failed), piece| (answered + piece.answered, failed + piece.failed))
    }

    fn record(&self, outcome: impl FnOnce(&mut Piece)) {
        let number = self.piece();
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(piece) = window.get_mut(usize::try_from(number % PIECES as u64).unwrap_or_default()) {
            if piece.number != number {
                *piece = Piece { number, ..Piece::default() };
            }
            outcome(piece);
        }
    }

    fn piece(&self) -> u64 {
        self.since.elapsed().as_secs() / PIECE.as_secs()
    }
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}
