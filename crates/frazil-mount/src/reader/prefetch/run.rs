//! One list of chunks that somebody wants prefetched, and how far it has come.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::source::Source;
use crate::reader::ChunkIndex;

/// What came of one call of [`Image::prefetch`](crate::Image::prefetch).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RunCounts {
    /// Chunks that were fetched.
    pub fetched_chunks: u64,
    /// Their sealed bytes.
    pub fetched_bytes: u64,
    /// Chunks that were there already, or on their way.
    pub skipped_chunks: u64,
    /// Chunks that could not be had.
    pub failed_chunks: u64,
}

type Chunks = Box<dyn Iterator<Item = ChunkIndex> + Send>;

/// A list under way.
pub(super) struct Run {
    pub(super) source: Source,
    state: Mutex<State>,
    cancelled: AtomicBool,
    counts: Tally,
    finished: watch::Sender<bool>,
}

struct State {
    chunks: Chunks,
    /// Taken from the list, and not yet begun.
    next: Option<ChunkIndex>,
    exhausted: bool,
    in_flight: usize,
}

#[derive(Default)]
struct Tally {
    fetched_chunks: AtomicU64,
    fetched_bytes: AtomicU64,
    skipped_chunks: AtomicU64,
    failed_chunks: AtomicU64,
}

impl Run {
    pub(super) fn new(source: Source, chunks: Chunks) -> Self {
        let state = State { chunks, next: None, exhausted: false, in_flight: 0 };
        Self {
            source,
            state: Mutex::new(state),
            cancelled: AtomicBool::new(false),
            counts: Tally::default(),
            finished: watch::Sender::new(false),
        }
    }

    /// The next chunk that `is_wanted`, which stays the next one until it is begun; passes over at most `limit`.
    pub(super) fn peek(&self, limit: usize, is_wanted: impl Fn(ChunkIndex) -> bool) -> Next {
        if self.cancelled.load(Relaxed) {
            return Next::End;
        }
        let mut state = self.lock();
        for _ in 0..limit {
            // What was the next one for a while may have been read in between.
            let next = state.next.take().or_else(|| state.chunks.next());
            match next {
                None => {
                    state.exhausted = true;
                    self.tell(&state);
                    return Next::End;
                }
                Some(index) if is_wanted(index) => {
                    state.next = Some(index);
                    return Next::Chunk(index);
                }
                Some(_) => {
                    self.counts.skipped_chunks.fetch_add(1, Relaxed);
                }
            }
        }
        Next::Later
    }

    /// The chunk that was the next one is begun.
    pub(super) fn begin(&self) {
        let mut state = self.lock();
        state.next = None;
        state.in_flight += 1;
    }

    /// A chunk that was begun has come, or not.
    pub(super) fn end(&self, landing: Landing) {
        let counts = &self.counts;
        let counter = match landing {
            Landing::Fetched { bytes } => {
                counts.fetched_bytes.fetch_add(bytes, Relaxed);
                &counts.fetched_chunks
            }
            Landing::There => &counts.skipped_chunks,
            Landing::Failed => &counts.failed_chunks,
        };
        counter.fetch_add(1, Relaxed);
        let mut state = self.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        self.tell(&state);
    }

    /// Begins nothing more of this run.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Relaxed);
        let mut state = self.lock();
        state.exhausted = true;
        state.next = None;
        state.chunks = Box::new(std::iter::empty());
        self.tell(&state);
    }

    /// Waits until everything of this run has come, or will not come.
    pub(super) async fn finished(&self) {
        let mut finished = self.finished.subscribe();
        // The sender is a part of this.
        let _ = finished.wait_for(|finished| *finished).await;
    }

    pub(super) fn counts(&self) -> RunCounts {
        RunCounts {
            fetched_chunks: self.counts.fetched_chunks.load(Relaxed),
            fetched_bytes: self.counts.fetched_bytes.load(Relaxed),
            skipped_chunks: self.counts.skipped_chunks.load(Relaxed),
            failed_chunks: self.counts.failed_chunks.load(Relaxed),
        }
    }

    fn tell(&self, state: &State) {
        if state.exhausted && state.next.is_none() && state.in_flight == 0 {
            self.finished.send_replace(true);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a run wants next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// This chunk.
    Chunk(ChunkIndex),
    /// It has more, but others should have their turn.
    Later,
    /// Nothing, for good.
    End,
}

/// How a prefetch ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Landing {
    /// It was fetched; it has `bytes` sealed bytes.
    Fetched { bytes: u64 },
    /// A reader was quicker.
    There,
    /// It could not be had.
    Failed,
}
