//! The chunks that a tier keeps, within a budget.
//!
//! A hit takes one shard's read lock and one atomic increment; only what comes and goes takes the policy's lock. The
//! invariant: the weights of what can be found here never exceed the budget, not even while one chunk replaces
//! another. Locks are taken in one order: the policy, then a shard.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use frazil_format::{ChunkId, RootId};

use super::{S3Fifo, Ticket};
use crate::Wanted;

/// How many locks readers are spread over.
const SHARDS: usize = 16;

/// A chunk's name: the same id in two roots is two chunks, because roots come and go on their own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Key {
    pub(crate) root: RootId,
    pub(crate) id: ChunkId,
}

impl From<&Wanted> for Key {
    fn from(wanted: &Wanted) -> Self {
        Self { root: wanted.root, id: wanted.id }
    }
}

struct Resident<V> {
    ticket: Arc<Ticket<Key>>,
    value: V,
}

type Shard<V> = RwLock<HashMap<Key, Resident<V>>>;

/// What is kept, and what goes next.
pub(crate) struct Residents<V> {
    shards: [Shard<V>; SHARDS],
    policy: Mutex<S3Fifo<Key>>,
    hasher: RandomState,
}

/// How much is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Occupancy {
    pub(crate) chunks: u64,
    pub(crate) bytes: u64,
}

impl<V: Clone> Residents<V> {
    pub(crate) fn new(budget: u64) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            policy: Mutex::new(S3Fifo::new(budget)),
            hasher: RandomState::new(),
        }
    }

    /// What is kept under this key; counts as a use.
    pub(crate) fn get(&self, key: &Key) -> Option<V> {
        let shard = self.shard(key).read().unwrap_or_else(PoisonError::into_inner);
        let resident = shard.get(key)?;
        resident.ticket.touch();
        Some(resident.value.clone())
    }

    /// Whether anything is kept under this key; does not count as a use.
    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.shard(key).read().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }

    /// Keeps a chunk, and says which had to go for it. One that never fits is not kept.
    pub(crate) fn insert(&self, key: Key, weight: u64, value: V) -> Vec<Key> {
        self.admit(key, value, |policy, evicted| policy.admit(key, weight, evicted))
    }

    /// Keeps a chunk that was kept before, by an earlier process.
    pub(crate) fn restore(&self, key: Key, weight: u64, value: V) -> Vec<Key> {
        self.admit(key, value, |policy, evicted| policy.admit_proven(key, weight, evicted))
    }

    fn admit(
        &self,
        key: Key,
        value: V,
        admit: impl FnOnce(&mut S3Fifo<Key>, &mut Vec<Key>) -> Option<Arc<Ticket<Key>>>,
    ) -> Vec<Key> {
        let mut policy = self.policy();
        self.take_out(&mut policy, &key);
        let mut evicted = Vec::new();
        let ticket = admit(&mut policy, &mut evicted);
        self.drop_all(&evicted);
        if let Some(ticket) = ticket {
            let mut shard = self.shard(&key).write().unwrap_or_else(PoisonError::into_inner);
            shard.insert(key, Resident { ticket, value });
        }
        evicted
    }

    /// Makes room for one more chunk. None if it never fits, else the keys that had to go.
    pub(crate) fn make_room(&self, weight: u64) -> Option<Vec<Key>> {
        let mut policy = self.policy();
        let mut evicted = Vec::new();
        let fits = policy.make_room(weight, &mut evicted);
        self.drop_all(&evicted);
        fits.then_some(evicted)
    }

    /// Changes the budget, and says which keys had to go.
    pub(crate) fn resize(&self, budget: u64) -> Vec<Key> {
        let mut policy = self.policy();
        let mut evicted = Vec::new();
        policy.resize(budget, &mut evicted);
        self.drop_all(&evicted);
        evicted
    }

    /// Stops keeping this chunk; says whether it was kept.
    pub(crate) fn remove(&self, key: &Key) -> bool {
        self.take_out(&mut self.policy(), key)
    }

    /// Stops keeping everything.
    pub(crate) fn clear(&self) {
        let mut policy = self.policy();
        let budget = policy.budget();
        *policy = S3Fifo::new(budget);
        for shard in &self.shards {
            shard.write().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    pub(crate) fn occupancy(&self) -> Occupancy {
        let policy = self.policy();
        let count = |shard: &Shard<V>| shard.read().unwrap_or_else(PoisonError::into_inner).len() as u64;
        Occupancy { chunks: self.shards.iter().map(count).sum(), bytes: policy.weight() }
    }

    fn take_out(&self, policy: &mut S3Fifo<Key>, key: &Key) -> bool {
        let removed = self.shard(key).write().unwrap_or_else(PoisonError::into_inner).remove(key);
        removed.as_ref().inspect(|resident| policy.withdraw(&resident.ticket)).is_some()
    }

    fn drop_all(&self, evicted: &[Key]) {
        for key in evicted {
            self.shard(key).write().unwrap_or_else(PoisonError::into_inner).remove(key);
        }
    }

    fn policy(&self) -> MutexGuard<'_, S3Fifo<Key>> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shard(&self, key: &Key) -> &Shard<V> {
        // The modulus keeps the index within the array.
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

impl<V> std::fmt::Debug for Residents<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Residents").finish_non_exhaustive()
    }
}
