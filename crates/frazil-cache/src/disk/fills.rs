//! Chunks on their way to the disk: a queue that is bounded and never waited for.
//!
//! A chunk can be read from here until it is on disk, so that nobody fetches it a second time meanwhile.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use frazil_format::SealedChunk;

use crate::policy::residents::Key;

/// Bounds the bookkeeping where chunks are tiny.
const MAX_PENDING_FILLS: usize = 4096;

/// The queue between readers and the keeper.
#[derive(Debug)]
pub(super) struct Fills {
    max_bytes: u64,
    state: Mutex<State>,
    /// Something came, or everything is done.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    order: VecDeque<Key>,
    chunks: HashMap<Key, SealedChunk>,
    bytes: u64,
    closed: bool,
    keeper_is_busy: bool,
}

/// What the keeper has to do.
pub(super) enum Work {
    /// Write this chunk.
    Fill(Key, SealedChunk),
    /// Nothing came for a while: look after the directory.
    Tend,
    /// The tier is gone.
    End,
}

/// Whether a fill waits to be written.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Offer {
    Waits,
    Dropped,
}

impl Fills {
    /// An empty queue. Its keeper counts as busy until it first asks for work.
    pub(super) fn new(max_bytes: u64) -> Self {
        let state = State { keeper_is_busy: true, ..State::default() };
        Self { max_bytes, state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn offer(&self, key: Key, chunk: SealedChunk) -> Offer {
        let mut state = self.lock();
        if state.chunks.contains_key(&key) {
            return Offer::Waits;
        }
        let bytes = state.bytes.saturating_add(chunk.len() as u64);
        if state.closed || bytes > self.max_bytes || state.order.len() >= MAX_PENDING_FILLS {
            return Offer::Dropped;
        }
        state.bytes = bytes;
        state.order.push_back(key);
        state.chunks.insert(key, chunk);
        self.changed.notify_all();
        Offer::Waits
    }

    /// A chunk that is not on disk yet.
    pub(super) fn get(&self, key: &Key) -> Option<SealedChunk> {
        self.lock().chunks.get(key).cloned()
    }

    /// Whether a chunk is here.
    pub(super) fn contains(&self, key: &Key) -> bool {
        self.lock().chunks.contains_key(key)
    }

    pub(super) fn len(&self) -> u64 {
        self.lock().order.len() as u64
    }

    /// What to do next. The chunk stays readable here until [`Fills::done`].
    pub(super) fn next(&self, patience: Duration) -> Work {
        let mut state = self.lock();
        state.keeper_is_busy = false;
        self.changed.notify_all();
        if state.order.is_empty() && !state.closed {
            (state, _) = self.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Work::End;
        }
        state.keeper_is_busy = true;
        let next = state.order.front().copied();
        match next.and_then(|key| Some((key, state.chunks.get(&key)?.clone()))) {
            Some((key, chunk)) => Work::Fill(key, chunk),
            None => Work::Tend,
        }
    }

    /// The fill that came out last is on disk, or never will be.
    pub(super) fn done(&self, key: &Key) {
        let mut state = self.lock();
        state.order.pop_front();
        if let Some(chunk) = state.chunks.remove(key) {
            state.bytes = state.bytes.saturating_sub(chunk.len() as u64);
        }
    }

    /// No more work: what waits is dropped.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        *state = State { closed: true, keeper_is_busy: state.keeper_is_busy, ..State::default() };
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits until nothing is left to write, or until `patience` is over; says whether nothing is left.
    pub(super) fn settle(&self, patience: Duration) -> bool {
        let busy = |state: &mut State| !state.order.is_empty() || state.keeper_is_busy;
        let (state, timeout) = self
            .changed
            .wait_timeout_while(self.lock(), patience, busy)
            .unwrap_or_else(PoisonError::into_inner);
        drop(state);
        !timeout.timed_out()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
