//! Entries that were not what their name says: moved aside, for people to look at, and never many.
//!
//! The invariant: the number of files and of bytes is bounded; the oldest file goes first.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::directory::{Directory, QUARANTINE};
use super::file_name::{base_name, chunk_file};
use super::weight_of;
use crate::policy::residents::Key;

/// The most files that are kept.
const MAX_FILES: usize = 64;
/// The most bytes, as a share of the quota.
const QUOTA_SHARE: u64 = 16;

/// What is in the quarantine directory.
#[derive(Debug)]
pub(super) struct Quarantine {
    max_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    files: VecDeque<(String, u64)>,
    bytes: u64,
    next: u64,
}

impl Quarantine {
    pub(super) fn new(quota_bytes: u64) -> Self {
        Self { max_bytes: quota_bytes / QUOTA_SHARE, state: Mutex::default() }
    }

    /// What its files take, in bytes of whole pages.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// Takes up what an earlier process left.
    pub(super) fn recover(&self, directory: &Directory) -> io::Result<()> {
        let mut found = directory.list(QUARANTINE)?;
        found.sort_unstable_by_key(|file| file.written);
        let mut state = self.lock();
        *state = State::default();
        for file in found {
            state.push(format!("{QUARANTINE}/{}", file.name), weight_of(file.len));
        }
        state.shrink(directory, self.max_bytes);
        Ok(())
    }

    /// Forgets everything: the directory is gone.
    pub(super) fn forget(&self) {
        *self.lock() = State::default();
    }

    /// Moves a chunk's file aside; removes it if that fails, or if it is too long to keep.
    pub(super) fn take(&self, directory: &Directory, key: &Key, len: u64) {
        let file = chunk_file(key);
        let weight = weight_of(len);
        let mut state = self.lock();
        // Two processes after each other, and two damages of one chunk, must not meet in one name.
        let aside = format!("{QUARANTINE}/{}.{}-{}", base_name(key), std::process::id(), state.next);
        state.next = state.next.wrapping_add(1);
        if weight > self.max_bytes || directory.rename(&file, &aside).is_err() {
            // A file that cannot even be removed is no longer in the index, and so never asked for.
            let _ = directory.remove(&file);
            return;
        }
        state.push(aside, weight);
        state.shrink(directory, self.max_bytes);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, file: String, weight: u64) {
        self.files.push_back((file, weight));
        self.bytes = self.bytes.saturating_add(weight);
    }

    fn shrink(&mut self, directory: &Directory, max_bytes: u64) {
        while self.files.len() > MAX_FILES || self.bytes > max_bytes {
            let Some((file, weight)) = self.files.pop_front() else { break };
            let _ = directory.remove(&file);
            self.bytes = self.bytes.saturating_sub(weight);
        }
    }
}
