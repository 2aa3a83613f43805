//! Who is waited for: somebody who reads now, or nobody yet.
//!
//! A fetch has an urgency that follows it through every tier of its task without being a part of what is wanted: two
//! fetches of one chunk are one fetch, whoever wants it. Invariant: an urgency rises and never falls, so a reader who
//! joins a prefetch is not served behind other readers.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Who waits for a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Priority {
    /// A reader, now.
    #[default]
    Demand,
    /// Nobody yet.
    Prefetch,
}

tokio::task_local! {
    static CURRENT: Urgency;
}

/// The priority of one fetch, shared by all who may raise it.
#[derive(Clone, Debug)]
pub struct Urgency(Arc<AtomicBool>);

impl Urgency {
    /// An urgency that starts with this priority.
    pub fn new(priority: Priority) -> Self {
        Self(Arc::new(AtomicBool::new(priority == Priority::Demand)))
    }

    /// The urgency of the fetch that this task is in; where nobody said anything, somebody waits.
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_else(|_| Self::new(Priority::Demand))
    }

    /// The priority by now.
    pub fn priority(&self) -> Priority {
        if self.0.load(Relaxed) { Priority::Demand } else { Priority::Prefetch }
    }

    /// Somebody with this priority waits too.
    pub fn join(&self, priority: Priority) {
        if priority == Priority::Demand {
            self.0.store(true, Relaxed);
        }
    }

    /// Runs a fetch with this urgency. A task that the fetch spawns must take it along.
    pub async fn scope<F: Future>(self, fetch: F) -> F::Output {
        CURRENT.scope(self, fetch).await
    }
}
