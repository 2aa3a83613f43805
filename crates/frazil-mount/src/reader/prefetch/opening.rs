//! Opening ahead: what came sealed is decrypted and decompressed before its reader comes, one chunk at a time, in
//! the order in which it came.
//!
//! A start reads tens of chunks, one after the other; opened when they are read, they would make it wait for all of
//! that work. Invariant: chunks that were opened ahead and that nobody has read take no more than half of the memory
//! for decoded chunks, so that they do not push out what is being read.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::reader::{ChunkIndex, Image};

/// The chunks that are opened ahead of their readers.
pub(in crate::reader) struct OpenedAhead {
    budget_bytes: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Sealed, in the order in which they came.
    waiting: VecDeque<ChunkIndex>,
    /// Opened, or being opened, and not read yet, with their lengths.
    unread: HashMap<ChunkIndex, u64>,
    unread_bytes: u64,
    is_running: bool,
}

impl OpenedAhead {
    /// Beside so many bytes for decoded chunks.
    pub(in crate::reader) fn within(decoded_budget_bytes: u64) -> Self {
        Self { budget_bytes: decoded_budget_bytes / 2, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Image {
    /// A chunk was kept sealed for its reader.
    pub(super) fn open_ahead(&self, index: ChunkIndex) {
        let mut state = self.opened_ahead.lock();
        // A chunk that was thrown away may come again; more than all of them do not wait.
        if state.waiting.len() < self.table.len() {
            state.waiting.push_back(index);
        }
        self.go_on_opening(state);
    }

    /// A chunk that was ahead of its reader is read, or had to go: there may be room for others.
    pub(in crate::reader) fn no_longer_ahead(&self, index: ChunkIndex) {
        let mut state = self.opened_ahead.lock();
        if let Some(len) = state.unread.remove(&index) {
            state.unread_bytes = state.unread_bytes.saturating_sub(len);
        }
        self.go_on_opening(state);
    }

    fn go_on_opening(&self, mut state: MutexGuard<'_, State>) {
        if state.waiting.is_empty() || std::mem::replace(&mut state.is_running, true) {
            return;
        }
        drop(state);
        let image = self.me.clone();
        self.runtime.spawn(async move {
            // Held for a chunk at a time: the image goes when its last user does.
            while let Some(image) = image.upgrade()
                && let Some(index) = image.next_to_open()
            {
                if !image.open_ahead_of_reader(index).await {
                    image.no_longer_ahead(index);
                }
            }
        });
    }

    fn next_to_open(&self) -> Option<ChunkIndex> {
        let mut state = self.opened_ahead.lock();
        while let Some(&index) = state.waiting.front() {
            let is_of_use = self.marks.ahead_for(index).is_some() && self.sealed.contains(index);
            let len = self.table.len_of(index.as_usize());
            if is_of_use && state.unread_bytes.saturating_add(len) > self.opened_ahead.budget_bytes {
                break;
            }
            state.waiting.pop_front();
            if is_of_use && !self.decoded.contains(index) {
                state.unread.insert(index, len);
                state.unread_bytes = state.unread_bytes.saturating_add(len);
                return Some(index);
            }
        }
        state.is_running = false;
        None
    }
}
