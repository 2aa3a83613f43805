//! How a reader learns that its root has expired, without a request for every chunk.
//!
//! Invariant: whoever reads from a root through this store, or says that it has one mounted, has looked at
//! the root's state within the last [`WINDOW`], or tries to every few seconds while the store fails. A root
//! that is expired or deleted raises the alarm. So an alarm is raised at the latest one window after the
//! first read of an expired root; deletion waits for a multiple of that.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use frazil_format::RootId;
use tokio::time::Instant;

use super::MAX_ROOTS;
use super::alarm::Access;
use crate::mutation::{self, Mutation};
use crate::record::Found;
use crate::{RootState, Store};

/// How old a reader's knowledge of its root may be.
pub const WINDOW: Duration = Duration::from_secs(60);

/// How long a look may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a chunk waits for a look that takes longer than its own read.
const BEHIND_A_CHUNK: Duration = Duration::from_millis(50);

/// For this long after a look that saw nothing, reads do not look again: a store that fails must not be asked
/// more often for the root than readers' own budgets allow.
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct RootWatch {
    looked: Mutex<HashMap<RootId, Look>>,
    expired_reads: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    /// When it is time for the next look.
    due: Instant,
    is_over: bool,
}

impl RootWatch {
    /// Reads of roots that were known to be expired or deleted.
    pub(crate) fn expired_reads(&self) -> u64 {
        self.expired_reads.load(Relaxed)
    }

    /// Whether it is time to look at a root again. The caller that is told so has to look.
    fn is_due(&self, root: RootId) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let last = looked.get(&root).copied();
        if let Some(look) = last
            && now < look.due
        {
            if look.is_over {
                self.expired_reads.fetch_add(1, Relaxed);
            }
            return false;
        }
        if looked.len() >= MAX_ROOTS {
            looked.clear();
        }
        looked.insert(root, Look { due: now + WINDOW, is_over: last.is_some_and(|look| look.is_over) });
        true
    }

    /// What a look came to: whether the root is over, if that was seen.
    fn saw(&self, root: RootId, is_over: Option<bool>) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(look) = looked.get_mut(&root) {
            match is_over {
                Some(is_over) => look.is_over = is_over,
                None => look.due = look.due.min(Instant::now() + RETRY_AFTER),
            }
        }
        if is_over == Some(true) {
            self.expired_reads.fetch_add(1, Relaxed);
        }
    }
}

impl Store {
    /// Says that an image of this root is mounted, or about to be. Whoever serves one says so at least once in every
    /// [`WINDOW`], also while nothing is read.
    pub async fn in_use(&self, root: RootId) {
        self.noticed(root, Access::Mount, std::future::ready(())).await;
    }

    /// Reads of roots that nobody should read any more, through this store.
    pub fn expired_root_reads(&self) -> u64 {
        self.watch().expired_reads()
    }

    /// The read and, now and then, a look at its root beside it. A chunk waits only a moment for the look: the
    /// tiers give it little time.
    pub(crate) async fn noticed<T>(&self, root: RootId, access: Access, read: impl Future<Output = T>) -> T {
        if mutation::is(Mutation::NoWatch) || !self.watch().is_due(root) {
            return read.await;
        }
        // A task of its own: a read that is hedged or given up does not take the look with it.
        let store = self.clone();
        let look = tokio::spawn(async move { store.look_at(root, access).await });
        let read = read.await;
        let behind = if access == Access::Chunk { BEHIND_A_CHUNK } else { PATIENCE };
        let _ = tokio::time::timeout(behind, look).await;
        read
    }

    async fn look_at(&self, root: RootId, access: Access) {
        let look = async {
            let state = match self.find_root(root).await {
                Ok(Some(Found { record, .. })) => record.state,
                Ok(None) => return None,
                Err(error) => {
                    tracing::debug!(%root, %error, "cannot look at the root");
                    return None;
                }
            };
            let is_over = matches!(state, RootState::Expired | RootState::Deleted);
            if is_over {
                let access_word = access.word();
                tracing::error!(%root, %state, access = access_word, "a root that nobody should read is read");
                if let Err(error) = self.raise_alarm(root, access).await {
                    tracing::error!(%root, %error, "cannot raise the alarm: deletion is not stopped");
                    return None;
                }
            }
            Some(is_over)
        };
        let seen = tokio::time::timeout(PATIENCE, look).await.unwrap_or(None);
        self.watch().saw(root, seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_is_not_looked_at_with_every_read() {
        let (watch, root) = (RootWatch::default(), RootId::FIRST);
        assert!(watch.is_due(root));
        watch.saw(root, None);
        assert!((0..1000).all(|_| !watch.is_due(root)), "others read on");
        tokio::time::advance(RETRY_AFTER).await;
        assert!(watch.is_due(root));
        watch.saw(root, Some(false));
        tokio::time::advance(RETRY_AFTER).await;
        assert!(!watch.is_due(root), "what was seen is good for a window");
        tokio::time::advance(WINDOW).await;
        assert!(watch.is_due(root));
    }
}
