//! Questions that wait for their answers on one connection.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::host::protocol::Answer;

/// A caller that waits for an answer.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) answer: oneshot::Sender<Answer>,
    /// The longest body that an answer can have, in bytes.
    pub(super) body_limit: u32,
}

/// All waiters; none after the connection has broken.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    broken: bool,
    last_id: u64,
    waiters: HashMap<u64, Waiter>,
}

impl Pending {
    /// An id of its own for a question; none if the connection is broken.
    pub(super) fn add(&self, waiter: Waiter) -> Option<u64> {
        let mut state = self.lock();
        if state.broken {
            return None;
        }
        state.last_id = state.last_id.checked_add(1)?;
        let id = state.last_id;
        state.waiters.insert(id, waiter);
        Some(id)
    }

    pub(super) fn take(&self, id: u64) -> Option<Waiter> {
        self.lock().waiters.remove(&id)
    }

    /// How long the body of this answer may be; none if nobody waits for it.
    pub(super) fn body_limit(&self, id: u64) -> Option<u32> {
        self.lock().waiters.get(&id).map(|waiter| waiter.body_limit)
    }

    pub(super) fn is_broken(&self) -> bool {
        self.lock().broken
    }

    /// Nobody will get an answer any more.
    pub(super) fn break_off(&self) {
        let mut state = self.lock();
        state.broken = true;
        state.waiters.clear();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
