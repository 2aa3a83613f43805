//! Single flight for anything that is looked up: as [`crate::flights`] is for chunks.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::Shared;
use tokio::sync::oneshot;

/// Look-ups that are under way, one for each key however many wait for it.
#[derive(Debug)]
pub(crate) struct Joint<K, V: Clone>(Mutex<UnderWay<K, V>>);

type UnderWay<K, V> = HashMap<K, Shared<oneshot::Receiver<V>>>;

impl<K, V: Clone> Default for Joint<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> Joint<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The outcome of the look-up for this key, which is started if none is under way. It runs to its end even if
    /// nobody waits for it any more. None if it ended without a word, by a panic or with its runtime.
    pub(crate) async fn join<F>(self: &Arc<Self>, key: K, work: impl FnOnce() -> F) -> Option<V>
    where
        F: Future<Output = V> + Send + 'static,
    {
        self.board(key, work).await.ok()
    }

    fn board<F>(self: &Arc<Self>, key: K, work: impl FnOnce() -> F) -> Shared<oneshot::Receiver<V>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut under_way = self.lock();
        if let Some(outcome) = under_way.get(&key) {
            return outcome.clone();
        }
        let (told, outcome) = oneshot::channel();
        let outcome = outcome.shared();
        under_way.insert(key.clone(), outcome.clone());
        let end = End { joint: Arc::clone(self), key };
        let work = work();
        // A runtime that is shutting down drops what it is given at once, and the end locks the table.
        drop(under_way);
        tokio::spawn(async move {
            let done = work.await;
            drop(end);
            let _ = told.send(done);
        });
        outcome
    }
}

impl<K, V: Clone> Joint<K, V> {
    fn lock(&self) -> MutexGuard<'_, UnderWay<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a look-up off the table when it ends, however it ends.
struct End<K: Eq + Hash, V: Clone> {
    joint: Arc<Joint<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V: Clone> Drop for End<K, V> {
    fn drop(&mut self) {
        self.joint.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ending::in_a_runtime_that_ends;

    #[test]
    fn a_look_up_that_begins_while_its_runtime_ends_is_lost_and_hangs_nobody() {
        let outcome = in_a_runtime_that_ends(|| {
            let joint = Arc::new(Joint::<&str, ()>::default());
            let outcome = joint.join("a", std::future::pending).now_or_never();
            assert!(joint.lock().is_empty());
            outcome
        });
        assert_eq!(outcome, Some(None));
    }
}
