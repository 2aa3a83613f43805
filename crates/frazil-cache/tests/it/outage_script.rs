//! An origin that follows a script, in virtual time: how long each request takes and what comes of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use frazil_cache::conformance::Sample;
use frazil_cache::{Served, Tier, TierError, Wanted};
use frazil_format::SealedChunk;
use frazil_store::StoreError;

/// What one request meets with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scene {
    /// The right answer, after this time.
    Answer(Duration),
    /// An error that may pass, after this time.
    Fail(Duration),
    /// The store says when to come back.
    Throttle(Duration),
    /// Other bytes than the right ones.
    Corrupt,
    /// No answer, ever.
    Silence,
}

/// How a request's number, from zero, and the requests under way with it make its scene.
type Script = Box<dyn Fn(u64, usize) -> Scene + Send + Sync>;

/// An origin that follows a script.
pub(crate) struct Scripted {
    chunks: HashMap<Wanted, SealedChunk>,
    script: Mutex<Arc<Script>>,
    requests: AtomicU64,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    order: Mutex<Vec<Wanted>>,
}

impl Scripted {
    pub(crate) fn new(
        samples: &[Sample],
        script: impl Fn(u64, usize) -> Scene + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            chunks: samples.iter().map(|sample| (sample.wanted, sample.chunk.clone())).collect(),
            script: Mutex::new(Arc::new(Box::new(script))),
            requests: AtomicU64::new(0),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
            order: Mutex::default(),
        })
    }

    /// From now on another script.
    pub(crate) fn then(&self, script: impl Fn(u64, usize) -> Scene + Send + Sync + 'static) {
        *self.script.lock().unwrap() = Arc::new(Box::new(script));
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(SeqCst)
    }

    pub(crate) fn most_under_way(&self) -> usize {
        self.most_under_way.load(SeqCst)
    }

    /// What was asked for, in order.
    pub(crate) fn order(&self) -> Vec<Wanted> {
        self.order.lock().unwrap().clone()
    }
}

/// One request, until it ends or is given up.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[async_trait]
impl Tier for Scripted {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let number = self.requests.fetch_add(1, SeqCst);
        let with = self.under_way.fetch_add(1, SeqCst) + 1;
        let _under_way = UnderWay(&self.under_way);
        self.most_under_way.fetch_max(with, SeqCst);
        self.order.lock().unwrap().push(*wanted);
        let script = Arc::clone(&self.script.lock().unwrap());
        let (id, tier) = (wanted.id, self.to_string());
        match script(number, with) {
            Scene::Answer(after) => {
                tokio::time::sleep(after).await;
                let known = self.chunks.get(wanted).cloned();
                known.map(Served::by_origin).ok_or(TierError::NotFound { id, root: wanted.root, tier })
            }
            Scene::Fail(after) => {
                tokio::time::sleep(after).await;
                let source = Arc::new(std::io::Error::other("as the script says"));
                Err(TierError::Transient { id, tier, source })
            }
            Scene::Throttle(after) => {
                let path = id.to_string();
                let source = Arc::new(StoreError::Throttled { action: "read", path, status: 429, after });
                Err(TierError::Transient { id, tier, source })
            }
            Scene::Corrupt => {
                let source = Arc::new(std::io::Error::other("wrong bytes"));
                Err(TierError::Corrupt { id, tier, source })
            }
            Scene::Silence => std::future::pending().await,
        }
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").finish_non_exhaustive()
    }
}

impl fmt::Display for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("scripted")
    }
}
