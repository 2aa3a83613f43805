//! Keys in the order of their last use: what LRU, and the queues of others, are made of.

use std::collections::{BTreeMap, HashMap};

/// An ordered set of keys with their bytes; the oldest is at the front.
#[derive(Default)]
pub(crate) struct List {
    order: BTreeMap<u64, u64>,
    places: HashMap<u64, (u64, u64)>,
    next: u64,
    /// All bytes in it.
    pub(crate) bytes: u64,
}

impl List {
    /// Puts a key at the back.
    pub(crate) fn push(&mut self, key: u64, bytes: u64) {
        self.remove(key);
        self.order.insert(self.next, key);
        self.places.insert(key, (self.next, bytes));
        self.next += 1;
        self.bytes += bytes;
    }

    /// Takes a key out, with its bytes.
    pub(crate) fn remove(&mut self, key: u64) -> Option<u64> {
        let (place, bytes) = self.places.remove(&key)?;
        self.order.remove(&place);
        self.bytes -= bytes;
        Some(bytes)
    }

    /// Takes the oldest key out, with its bytes.
    pub(crate) fn pop(&mut self) -> Option<(u64, u64)> {
        let key = self.order.first_key_value().map(|(_, &key)| key)?;
        Some((key, self.remove(key)?))
    }

    /// Whether the key is in it.
    pub(crate) fn contains(&self, key: u64) -> bool {
        self.places.contains_key(&key)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }
}
