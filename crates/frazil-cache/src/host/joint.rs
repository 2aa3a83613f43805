//! Single flight for anything that is looked up: as [`crate::flights`] is for chunks.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::Shared;
use tokio::sync::oneshot;

/// Look-ups that are under way, one for each key however many wait for it.
#[derive(Debug)]
pub(crate) struct Joint<K, V: Clone>(Mutex<HashMap<K, Shared<oneshot::Receiver<V>>>>);

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
        let outcome = {
            let mut under_way = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match under_way.get(&key) {
                Some(outcome) => outcome.clone(),
                None => {
                    let (told, outcome) = oneshot::channel();
                    let outcome = outcome.shared();
                    under_way.insert(key.clone(), outcome.clone());
                    let end = End { joint: Arc::clone(self), key };
                    let work = work();
                    tokio::spawn(async move {
                        let done = work.await;
                        drop(end);
                        let _ = told.send(done);
                    });
                    outcome
                }
            }
        };
        outcome.await.ok()
    }
}

/// Takes a look-up off the table when it ends, however it ends.
struct End<K: Eq + Hash, V: Clone> {
    joint: Arc<Joint<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V: Clone> Drop for End<K, V> {
    fn drop(&mut self) {
        self.joint.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
