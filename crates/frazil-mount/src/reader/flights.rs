//! Single flight: however many wait for a chunk, it is fetched once and opened once.
//!
//! All of them share one future and its outcome, the error included: a hundred readers of a chunk that cannot
//! be had wait one deadline, not a hundred. A flight lives as long as somebody waits for it; a reader that is
//! killed does not take it from the others. It is as urgent as the most urgent of those who joined it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use frazil_cache::resilience::{Priority, Urgency};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

use super::{ChunkIndex, ReadError};

/// What a flight does.
pub(super) type Work<T> = BoxFuture<'static, Result<T, ReadError>>;

/// The flights that are under way: fetches of sealed chunks, or openings.
pub(super) struct Flights<T>(Mutex<Aloft<T>>);

struct Aloft<T> {
    number: u64,
    by_chunk: HashMap<ChunkIndex, Known<T>>,
}

struct Known<T> {
    number: u64,
    outcome: WeakShared<Work<T>>,
    urgency: Urgency,
    began: Priority,
}

/// A share in a flight.
pub(super) struct Flight<T> {
    index: ChunkIndex,
    number: u64,
    outcome: Shared<Work<T>>,
    /// Whether it was begun for a reader, or ahead of one.
    pub(super) began: Priority,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::new(Aloft { number: 0, by_chunk: HashMap::new() }))
    }
}

impl<T: Clone> Flights<T> {
    /// Joins the flight for this chunk, or starts it with `work`; it is from now on as urgent as `wanted` is.
    pub(super) fn join(
        &self,
        index: ChunkIndex,
        wanted: &Urgency,
        work: impl FnOnce(Urgency) -> Work<T>,
    ) -> Flight<T> {
        let mut aloft = self.lock();
        if let Some(known) = aloft.by_chunk.get(&index)
            && let Some(outcome) = known.outcome.upgrade()
        {
            known.urgency.follow(wanted);
            return Flight { index, number: known.number, outcome, began: known.began };
        }
        let began = wanted.priority();
        let urgency = Urgency::new(began);
        urgency.follow(wanted);
        let outcome = work(urgency.clone()).shared();
        aloft.number += 1;
        let number = aloft.number;
        if let Some(weak) = outcome.downgrade() {
            aloft.by_chunk.insert(index, Known { number, outcome: weak, urgency, began });
        }
        Flight { index, number, outcome, began }
    }

    /// The outcome of a flight, which is over then.
    pub(super) async fn land(&self, flight: Flight<T>) -> Result<T, ReadError> {
        let outcome = flight.outcome.await;
        let mut aloft = self.lock();
        if aloft.by_chunk.get(&flight.index).is_some_and(|known| known.number == flight.number) {
            aloft.by_chunk.remove(&flight.index);
        }
        outcome
    }

    /// Whether a flight for this chunk is under way.
    pub(super) fn contains(&self, index: ChunkIndex) -> bool {
        self.lock().by_chunk.get(&index).is_some_and(|known| known.outcome.upgrade().is_some())
    }

    fn lock(&self) -> MutexGuard<'_, Aloft<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
