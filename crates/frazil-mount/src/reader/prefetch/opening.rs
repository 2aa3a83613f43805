//! Opening ahead: what came sealed is decrypted and decompressed before its reader comes, in the order in
//! which it came, by as many threads as there are cores but for one, which is left to the readers.
//!
//! A start reads tens of chunks, one after the other; opened when they are read, they would make it wait for all of
//! that work. Invariant: what is opened ahead has a budget of its own, waits there until it is read, and is pushed out
//! by nothing: its sealed chunk may be gone by then.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::lent;
use crate::reader::decoded::Opened;
use crate::reader::{ChunkIndex, Image};

/// The chunks that are opened ahead of their readers.
pub(in crate::reader) struct OpenedAhead {
    budget_bytes: u64,
    threads_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Sealed, in the order in which they came.
    waiting: VecDeque<ChunkIndex>,
    /// Opened, or being opened, and not read yet.
    unread: HashMap<ChunkIndex, Unread>,
    unread_bytes: u64,
    /// Threads that open.
    threads: usize,
}

struct Unread {
    len: u64,
    /// None while it is being opened.
    chunk: Option<Arc<Opened>>,
}

impl OpenedAhead {
    /// At most `budget_bytes` of opened chunks, which `threads_max` threads open.
    pub(in crate::reader) fn new(budget_bytes: u64, threads_max: usize) -> Self {
        Self { budget_bytes, threads_max, state: Mutex::default() }
    }

    /// Whether a chunk waits here, or is being opened.
    pub(super) fn contains(&self, index: ChunkIndex) -> bool {
        self.lock().unread.contains_key(&index)
    }

    /// Takes an opened chunk: its reader has come.
    pub(in crate::reader) fn take(&self, index: ChunkIndex) -> Option<Arc<Opened>> {
        let mut state = self.lock();
        state.unread.get(&index)?.chunk.as_ref()?;
        state.remove(index)?.chunk
    }

    /// Lets go of all that is opened, and says which chunks that was.
    pub(in crate::reader) fn clear(&self) -> Vec<ChunkIndex> {
        let mut state = self.lock();
        state.unread_bytes = 0;
        state.unread.drain().map(|(index, _)| index).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, index: ChunkIndex) -> Option<Unread> {
        let unread = self.unread.remove(&index)?;
        self.unread_bytes = self.unread_bytes.saturating_sub(unread.len);
        Some(unread)
    }
}

impl Image {
    /// A chunk was kept sealed for its reader.
    pub(super) fn open_ahead(&self, index: ChunkIndex) {
        let mut state = self.opened_ahead.lock();
        // A chunk that was thrown away may come again; no more wait than the image has chunks.
        if state.waiting.len() < self.table.len() {
            state.waiting.push_back(index);
        }
        self.go_on_opening(state);
    }

    /// The reader of a chunk that was ahead of it has come: there is room for others.
    pub(in crate::reader) fn no_longer_ahead(&self, index: ChunkIndex) {
        let mut state = self.opened_ahead.lock();
        state.remove(index);
        self.go_on_opening(state);
    }

    /// A chunk that was opened ahead waits for its reader, or goes to the reader if that has come.
    pub(in crate::reader) fn keep_opened_ahead(&self, index: ChunkIndex, chunk: &Arc<Opened>) {
        let mut state = self.opened_ahead.lock();
        match state.unread.get_mut(&index) {
            Some(unread) => unread.chunk = Some(Arc::clone(chunk)),
            None => {
                drop(state);
                self.keep_decoded(index, chunk);
            }
        }
    }

    fn go_on_opening(&self, mut state: MutexGuard<'_, State>) {
        if state.waiting.is_empty() || state.threads >= self.opened_ahead.threads_max {
            return;
        }
        state.threads += 1;
        drop(state);
        let (image, runtime) = (self.me.clone(), self.runtime.clone());
        // A thread of its own: handed from one to another, a chunk would take twice as long.
        self.runtime.spawn_blocking(move || {
            // Held for a chunk at a time: the image goes when its last user does.
            while let Some(image) = image.upgrade()
                && let Some(index) = image.next_to_open()
            {
                if !lent::wholly(|| runtime.block_on(image.open_ahead_of_reader(index))) {
                    image.no_longer_ahead(index);
                }
            }
        });
    }

    fn next_to_open(&self) -> Option<ChunkIndex> {
        // Looked at first: the pump looks at what is opened ahead while it holds its own lock.
        let is_stopped = self.prefetches.is_stopped();
        let mut state = self.opened_ahead.lock();
        if is_stopped {
            state.waiting.clear();
        }
        while let Some(&index) = state.waiting.front() {
            let is_of_use = self.marks.ahead_for(index).is_some()
                && self.sealed.contains(index)
                && !self.decoded.contains(index)
                && !self.openings.contains(index)
                && !state.unread.contains_key(&index);
            let len = self.table.len_of(index.as_usize());
            if is_of_use && state.unread_bytes.saturating_add(len) > self.opened_ahead.budget_bytes {
                break;
            }
            state.waiting.pop_front();
            if is_of_use {
                state.unread.insert(index, Unread { len, chunk: None });
                state.unread_bytes = state.unread_bytes.saturating_add(len);
                return Some(index);
            }
        }
        state.threads -= 1;
        None
    }
}
