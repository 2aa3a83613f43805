//! The order of first touches, until the workload is ready.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use frazil_format::bounds::MAX_PROFILE_CHUNKS;

use crate::{ChunkIndex, TouchListener};

/// Takes notes of first touches while it is open.
#[derive(Debug)]
pub(crate) struct Recorder(Mutex<Notes>);

#[derive(Debug)]
struct Notes {
    order: Vec<u32>,
    last: Instant,
    open: bool,
}

impl Recorder {
    /// An open one, without notes.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Notes { order: Vec::new(), last: Instant::now(), open: true }))
    }

    /// What was touched so far, in order.
    pub(crate) fn order(&self) -> Vec<u32> {
        self.lock().order.clone()
    }

    /// For how long nothing was touched for the first time.
    pub(crate) fn quiet(&self) -> Duration {
        self.lock().last.elapsed()
    }

    /// Takes no more notes.
    pub(crate) fn close(&self) {
        self.lock().open = false;
    }

    /// Whether it still takes notes.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().open
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TouchListener for Recorder {
    fn first_touch(&self, chunk: ChunkIndex) {
        let mut notes = self.lock();
        if notes.open && (notes.order.len() as u64) < MAX_PROFILE_CHUNKS {
            notes.order.push(chunk.as_usize() as u32);
            notes.last = Instant::now();
        }
    }
}
