//! Whether a fetch is waited for: by somebody who reads now, or by nobody yet.
//!
//! A fetch has an urgency that follows it through every tier of its task without being a part of what is
//! wanted: two fetches of one chunk are one fetch, whoever wants it. Invariants: an urgency rises and never
//! falls, so a reader that joins a prefetch is not served behind other readers; and a fetch for another fetch
//! rises with it, tier for tier and over the socket of the host cache, however late.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

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
pub struct Urgency(Arc<Shared>);

#[derive(Default, Debug)]
struct Shared {
    is_demand: AtomicBool,
    /// Woken when it rises.
    rises: Notify,
    /// Those that rise with it: one for each flight that the fetch joined, which its tiers bound.
    followers: Mutex<Vec<Weak<Shared>>>,
}

impl Urgency {
    /// An urgency that starts with this priority.
    pub fn new(priority: Priority) -> Self {
        let is_demand = AtomicBool::new(priority == Priority::Demand);
        Self(Arc::new(Shared { is_demand, ..Shared::default() }))
    }

    /// The urgency of the fetch that this task is in; where nobody said anything, somebody waits.
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_else(|_| Self::new(Priority::Demand))
    }

    /// The priority by now.
    pub fn priority(&self) -> Priority {
        if self.0.is_demand.load(Relaxed) { Priority::Demand } else { Priority::Prefetch }
    }

    /// Somebody with this priority waits too.
    pub fn join(&self, priority: Priority) {
        if priority == Priority::Demand {
            self.0.rise();
        }
    }

    /// Whoever waits for the other waits for this one too, now or later.
    pub fn follow(&self, other: &Self) {
        if self.priority() == Priority::Demand || Arc::ptr_eq(&self.0, &other.0) {
            return;
        }
        let mut followers = other.0.followers.lock().unwrap_or_else(PoisonError::into_inner);
        // It rises before it takes the followers along: whoever is not among them sees that it has.
        if other.priority() == Priority::Demand {
            drop(followers);
            return self.0.rise();
        }
        followers.push(Arc::downgrade(&self.0));
    }

    /// Returns when somebody waits.
    pub async fn raised(&self) {
        loop {
            let rises = self.0.rises.notified();
            if self.priority() == Priority::Demand {
                return;
            }
            rises.await;
        }
    }

    /// Runs a fetch with this urgency. A task that the fetch spawns must take it along.
    pub async fn scope<F: Future>(self, fetch: F) -> F::Output {
        CURRENT.scope(self, fetch).await
    }
}

impl Shared {
    fn rise(&self) {
        if self.is_demand.swap(true, Relaxed) {
            return;
        }
        self.rises.notify_waiters();
        let followers = std::mem::take(&mut *self.followers.lock().unwrap_or_else(PoisonError::into_inner));
        // One that rose already stops a circle.
        followers.iter().filter_map(Weak::upgrade).for_each(|follower| follower.rise());
    }
}
