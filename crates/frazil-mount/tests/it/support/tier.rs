//! A tier in memory that counts what is asked and misbehaves on request.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use frazil_cache::{Served, Tier, TierError, Wanted};
use frazil_format::{ChunkId, SealedChunk};

use super::sample::Built;

/// How a chunk is answered for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// It is not there.
    Missing,
    /// One bit of it is wrong.
    Corrupt,
    /// No answer ever comes.
    Stuck,
}

#[derive(Default)]
pub(crate) struct TestTier {
    sealed: HashMap<ChunkId, Bytes>,
    faults: Mutex<HashMap<ChunkId, Fault>>,
    asked: Mutex<Vec<ChunkId>>,
}

impl TestTier {
    pub(crate) fn of(built: &Built) -> Arc<Self> {
        Arc::new(Self { sealed: built.sealed.clone(), ..Self::default() })
    }

    pub(crate) fn break_chunk(&self, id: ChunkId, fault: Fault) {
        self.faults.lock().unwrap().insert(id, fault);
    }

    pub(crate) fn break_all_others(&self, fault: Fault) {
        let asked: HashSet<ChunkId> = self.asked().into_iter().collect();
        let mut faults = self.faults.lock().unwrap();
        faults.extend(self.sealed.keys().filter(|id| !asked.contains(id)).map(|id| (*id, fault)));
    }

    pub(crate) fn heal(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// Every chunk that was asked for, in order, repetitions included.
    pub(crate) fn asked(&self) -> Vec<ChunkId> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Tier for TestTier {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let id = wanted.id;
        self.asked.lock().unwrap().push(id);
        let fault = self.faults.lock().unwrap().get(&id).copied();
        let missing = || TierError::NotFound { id, root: wanted.root, tier: self.to_string() };
        let sealed = self.sealed.get(&id).cloned().ok_or_else(missing)?;
        let corrupt = |source| TierError::Corrupt { id, tier: self.to_string(), source: Arc::new(source) };
        match fault {
            None => SealedChunk::verify(&id, sealed).map(Served::by_origin).map_err(corrupt),
            Some(Fault::Missing) => Err(missing()),
            Some(Fault::Corrupt) => {
                let mut damaged = sealed.to_vec();
                damaged[0] ^= 1;
                SealedChunk::verify(&id, damaged.into()).map(Served::by_origin).map_err(corrupt)
            }
            Some(Fault::Stuck) => std::future::pending().await,
        }
    }
}

impl fmt::Display for TestTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("test")
    }
}

impl fmt::Debug for TestTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestTier")
    }
}
