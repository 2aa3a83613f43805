//! Single flight: however many readers wait for a chunk, it is fetched and opened once.
//!
//! All of them share one future and its outcome, the error included: a hundred readers of a chunk that cannot
//! be had wait one deadline, not a hundred. A flight lives as long as somebody waits for it; a reader that is
//! killed does not take it from the others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};

use super::{ChunkIndex, ReadError};

type Work = BoxFuture<'static, Result<Bytes, ReadError>>;

/// The fetches that are under way.
#[derive(Default)]
pub(super) struct Flights(Mutex<Aloft>);

#[derive(Default)]
struct Aloft {
    number: u64,
    by_chunk: HashMap<ChunkIndex, (u64, WeakShared<Work>)>,
}

/// A share in a flight.
pub(super) struct Flight {
    index: ChunkIndex,
    number: u64,
    outcome: Shared<Work>,
}

impl Flights {
    /// Joins the flight for this chunk, or starts it with `work`.
    pub(super) fn join(&self, index: ChunkIndex, work: impl FnOnce() -> Work) -> Flight {
        let mut aloft = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((number, outcome)) = aloft.by_chunk.get(&index)
            && let Some(outcome) = outcome.upgrade()
        {
            return Flight { index, number: *number, outcome };
        }
        let outcome = work().shared();
        aloft.number += 1;
        let number = aloft.number;
        if let Some(weak) = outcome.downgrade() {
            aloft.by_chunk.insert(index, (number, weak));
        }
        Flight { index, number, outcome }
    }

    /// The outcome of a flight, which is over then.
    pub(super) async fn land(&self, flight: Flight) -> Result<Bytes, ReadError> {
        let outcome = flight.outcome.await;
        let mut aloft = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if aloft.by_chunk.get(&flight.index).is_some_and(|(number, _)| *number == flight.number) {
            aloft.by_chunk.remove(&flight.index);
        }
        outcome
    }
}
