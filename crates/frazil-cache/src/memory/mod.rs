//! Sealed chunks in the memory of the host: the first tier.
//!
//! The invariants: what is kept, its bookkeeping included, never exceeds the budget; and one fetch goes below for a
//! chunk, however many callers miss it at once. What callers and fetches hold in their hands is theirs, not the
//! cache's: a chunk that was evicted lives until its last reader lets it go.

mod counts;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use frazil_format::SealedChunk;

use crate::flights::{Answer, Flights};
use crate::policy::residents::{Key, Residents};
use crate::size::Size;
use crate::trace;
use crate::{Level, Served, Tier, TierError, Wanted};

use counts::Counters;
pub use counts::MemoryCounts;

/// What one chunk costs beside its bytes: its place in a shard, a ticket, a queue and the memory of its eviction,
/// hash tables at their emptiest, and the allocator's own. A million tiny chunks measure 183 to 287 bytes each.
pub const ENTRY_OVERHEAD_BYTES: u64 = 512;

/// The granule of large allocations, in bytes.
const PAGE_BYTES: u64 = 4096;

/// A tier that keeps chunks in memory.
#[derive(Debug)]
pub struct Memory {
    below: Arc<dyn Tier>,
    budget_bytes: u64,
    flights: Arc<Flights>,
    kept: Arc<Kept>,
}

/// What outlives a caller: fetches go on without it.
#[derive(Debug)]
struct Kept {
    chunks: Residents<SealedChunk>,
    counters: Counters,
}

impl Memory {
    /// Memory over another tier; it keeps at most this many bytes, all included. With no budget it still
    /// fetches only once.
    pub fn new(below: Arc<dyn Tier>, budget_bytes: u64) -> Self {
        let kept = Kept { chunks: Residents::new(budget_bytes), counters: Counters::default() };
        Self { below, budget_bytes, flights: Arc::default(), kept: Arc::new(kept) }
    }

    /// What happened so far, and how much is kept now.
    pub fn counts(&self) -> MemoryCounts {
        self.kept.counters.read(self.kept.chunks.occupancy())
    }

    /// Whether the tier has this chunk now; asking does not count as a use.
    pub fn has(&self, wanted: &Wanted) -> bool {
        self.kept.chunks.contains(&Key::from(wanted))
    }

    /// What keeping a chunk of `sealed_len` bytes takes from the budget, in bytes.
    pub fn cost_of(sealed_len: usize) -> u64 {
        (sealed_len as u64).next_multiple_of(PAGE_BYTES).saturating_add(ENTRY_OVERHEAD_BYTES)
    }

    fn checked(&self, wanted: &Wanted, served: Served) -> Answer {
        let (len, expected) = (served.chunk.len() as u64, u64::from(wanted.sealed_len));
        if len != expected {
            return Err(TierError::WrongLength { id: wanted.id, tier: self.to_string(), len, expected });
        }
        Ok(served)
    }
}

impl Kept {
    fn keep(&self, wanted: &Wanted, chunk: SealedChunk) {
        // The bytes may be a part of a larger buffer, which would then be kept and not be counted.
        let chunk = chunk.into_compact();
        let evicted = self.chunks.insert(Key::from(wanted), Memory::cost_of(chunk.len()), chunk);
        self.counters.evicted(evicted.len());
    }
}

#[async_trait]
impl Tier for Memory {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let key = Key::from(wanted);
        if let Some(chunk) = self.kept.chunks.get(&key) {
            self.kept.counters.hit();
            return self.checked(wanted, Served::by(Level::Memory, chunk));
        }
        self.kept.counters.missed();
        let fetch = || {
            let (below, kept, wanted) = (Arc::clone(&self.below), Arc::clone(&self.kept), *wanted);
            async move {
                kept.counters.fetched();
                let served = below.get(&wanted).await?;
                kept.keep(&wanted, served.chunk.clone());
                Ok(served)
            }
        };
        let landed = || Some(Served::by(Level::Memory, self.kept.chunks.get(&key)?));
        let flight = self.flights.join(wanted, || self.to_string(), landed, fetch);
        let served = trace::tier_get("memory", wanted, flight).await?;
        self.checked(wanted, served)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory({}) → {}", Size(self.budget_bytes), self.below)
    }
}
