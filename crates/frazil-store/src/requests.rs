//! How often a store was asked, and for how many bytes: counters that every clone of a store shares.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How often a store was asked since it was opened, failures included, and the bytes that moved.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RequestCounts {
    /// Objects read.
    pub gets: u64,
    /// The bytes of those objects.
    pub get_bytes: u64,
    /// Objects written.
    pub puts: u64,
    /// The bytes of those objects.
    pub put_bytes: u64,
    /// Questions for an object's length.
    pub heads: u64,
    /// Listings.
    pub lists: u64,
    /// Objects deleted.
    pub deletes: u64,
}

/// What was asked of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Operation {
    Get,
    Put,
    Head,
    List,
    Delete,
    Copy,
}

#[derive(Default, Debug)]
pub(crate) struct Requests {
    gets: AtomicU64,
    get_bytes: AtomicU64,
    puts: AtomicU64,
    put_bytes: AtomicU64,
    heads: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
}

impl Requests {
    pub(crate) fn count(&self, operation: Operation, bytes: u64) {
        match operation {
            Operation::Get => {
                self.gets.fetch_add(1, Relaxed);
                self.get_bytes.fetch_add(bytes, Relaxed);
            }
            Operation::Put | Operation::Copy => {
                self.puts.fetch_add(1, Relaxed);
                self.put_bytes.fetch_add(bytes, Relaxed);
            }
            Operation::Head => drop(self.heads.fetch_add(1, Relaxed)),
            Operation::List => drop(self.lists.fetch_add(1, Relaxed)),
            Operation::Delete => drop(self.deletes.fetch_add(1, Relaxed)),
        }
    }

    pub(crate) fn counts(&self) -> RequestCounts {
        RequestCounts {
            gets: self.gets.load(Relaxed),
            get_bytes: self.get_bytes.load(Relaxed),
            puts: self.puts.load(Relaxed),
            put_bytes: self.put_bytes.load(Relaxed),
            heads: self.heads.load(Relaxed),
            lists: self.lists.load(Relaxed),
            deletes: self.deletes.load(Relaxed),
        }
    }
}
