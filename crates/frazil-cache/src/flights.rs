//! Single flight: however many callers want a chunk, one of them fetches it.
//!
//! A fetch runs as a task of its own. A caller that gives up gives up its wait and nothing else: the others
//! get their answer, and a caller that comes back finds the fetch further on. How long a fetch may take is
//! for the tier below to bound.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::Shared;
use tokio::sync::oneshot;
use tracing::Instrument;

use crate::resilience::{Priority, Urgency};
use crate::{Served, TierError, Wanted};

/// Beyond this many fetches a caller fetches for itself, in its own time: callers bound themselves.
const MAX_FLIGHTS: usize = 4096;

/// What a tier says.
pub(crate) type Answer = Result<Served, TierError>;

type Flight = Shared<oneshot::Receiver<Answer>>;

/// The fetches that are under way.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    under_way: Mutex<HashMap<Wanted, UnderWay>>,
}

/// A fetch, and how urgent it is: as urgent as the most urgent of its waiters.
#[derive(Debug)]
struct UnderWay {
    flight: Flight,
    urgency: Urgency,
}

/// How a caller comes to its answer.
enum Boarding<F> {
    /// It is there by now.
    Landed(Served),
    /// It is being fetched.
    Wait(Flight),
    /// Too many fetches are under way.
    Alone(F),
}

impl Flights {
    /// The answer of the fetch for this chunk, which is started if none is under way.
    ///
    /// `landed` looks for an answer that came in between; `fetch` must leave it where `landed` looks.
    pub(crate) async fn join<F: Future<Output = Answer> + Send + 'static>(
        self: &Arc<Self>,
        wanted: &Wanted,
        tier: impl Fn() -> String,
        landed: impl FnOnce() -> Option<Served>,
        fetch: impl FnOnce() -> F,
    ) -> Answer {
        match self.board(wanted, landed, fetch) {
            Boarding::Landed(served) => Ok(served),
            Boarding::Wait(flight) => flight.await.unwrap_or_else(|_| Err(lost(wanted, tier()))),
            Boarding::Alone(fetch) => fetch.await,
        }
    }

    fn board<F: Future<Output = Answer> + Send + 'static>(
        self: &Arc<Self>,
        wanted: &Wanted,
        landed: impl FnOnce() -> Option<Served>,
        fetch: impl FnOnce() -> F,
    ) -> Boarding<F> {
        let mut under_way = self.lock();
        let urgency = Urgency::current();
        if let Some(known) = under_way.get(wanted) {
            known.urgency.follow(&urgency);
            return Boarding::Wait(known.flight.clone());
        }
        // A flight leaves its answer before it leaves this table: a caller that finds neither is the first.
        if let Some(served) = landed() {
            return Boarding::Landed(served);
        }
        let fetch = fetch();
        if under_way.len() >= MAX_FLIGHTS {
            return Boarding::Alone(fetch);
        }
        let (answer, flight) = oneshot::channel();
        let flight = flight.shared();
        let own = Urgency::new(Priority::Prefetch);
        own.follow(&urgency);
        let urgency = own;
        under_way.insert(*wanted, UnderWay { flight: flight.clone(), urgency: urgency.clone() });
        let landing = Landing { flights: Arc::clone(self), wanted: *wanted };
        // A runtime that is shutting down drops what it is given at once, and the landing locks the table.
        drop(under_way);
        tokio::spawn(
            async move {
                let fetched = urgency.scope(fetch).await;
                drop(landing);
                // Everybody may have given up by now.
                let _ = answer.send(fetched);
            }
            .in_current_span(),
        );
        Boarding::Wait(flight)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Wanted, UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a flight off the table when it ends, however it ends.
struct Landing {
    flights: Arc<Flights>,
    wanted: Wanted,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.wanted);
    }
}

/// The fetch ended without a word: it panicked, or its runtime is shutting down.
fn lost(wanted: &Wanted, tier: String) -> TierError {
    let source = Arc::new(std::io::Error::other("the fetch ended without an answer"));
    TierError::Transient { id: wanted.id, tier, source }
}

#[cfg(test)]
mod tests {
    use frazil_format::{ChunkId, RootId};

    use super::*;
    use crate::ending::in_a_runtime_that_ends;

    #[test]
    fn a_flight_that_begins_while_its_runtime_ends_is_lost_and_hangs_nobody() {
        let answer = in_a_runtime_that_ends(|| {
            let wanted = Wanted { root: RootId::FIRST, id: ChunkId::from_bytes([7; 32]), sealed_len: 9 };
            let flights = Arc::new(Flights::default());
            let answer = flights.join(&wanted, || "a tier".to_owned(), || None, std::future::pending);
            let answer = answer.now_or_never();
            assert!(flights.lock().is_empty());
            answer
        });
        assert!(matches!(answer, Some(Err(TierError::Transient { .. }))), "{answer:?}");
    }
}
