//! What is ahead: which chunks were fetched that nobody has read yet, and for whom.
//!
//! A chunk is marked when its prefetch begins; the mark goes with the first read (it was of use), with the chunk
//! (it was not), or with the prefetch that failed.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::source::{SOURCES, Source};
use crate::reader::ChunkIndex;

/// What became of the chunks of one source.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PrefetchCounts {
    /// Chunks that came.
    pub fetched_chunks: u64,
    /// Their sealed bytes.
    pub fetched_bytes: u64,
    /// Chunks that were read afterwards, or while they were on their way.
    pub used_chunks: u64,
    /// Their sealed bytes.
    pub used_bytes: u64,
    /// Chunks that were thrown away before anybody read them.
    pub evicted_chunks: u64,
    /// Chunks that could not be had.
    pub failed_chunks: u64,
}

impl PrefetchCounts {
    /// Sealed bytes that came and that nobody has read so far; those that were thrown away included.
    pub fn unused_bytes(&self) -> u64 {
        self.fetched_bytes.saturating_sub(self.used_bytes)
    }
}

/// One byte for each chunk of an image, and the sums.
pub(in crate::reader) struct Marks {
    by_chunk: Box<[AtomicU8]>,
    ahead: AtomicUsize,
    tallies: [Tally; SOURCES],
}

#[derive(Default)]
struct Tally {
    fetched: Sum,
    used: Sum,
    evicted_chunks: AtomicU64,
    failed_chunks: AtomicU64,
}

#[derive(Default)]
struct Sum {
    chunks: AtomicU64,
    bytes: AtomicU64,
}

impl Sum {
    fn add(&self, bytes: u64) {
        self.chunks.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }
}

/// The source that this mark stands for; none if it is no mark.
fn source_of(mark: u8) -> Option<Source> {
    Source::ALL.get(usize::from(mark).checked_sub(1)?).copied()
}

impl Marks {
    pub(in crate::reader) fn new(chunks: usize) -> Self {
        Self {
            by_chunk: (0..chunks).map(|_| AtomicU8::new(0)).collect(),
            ahead: AtomicUsize::new(0),
            tallies: Default::default(),
        }
    }

    /// How many chunks are ahead of readers that will come for them.
    pub(super) fn ahead(&self) -> usize {
        self.ahead.load(Relaxed)
    }

    /// A prefetch of this chunk begins.
    pub(super) fn begun(&self, index: ChunkIndex, source: Source) {
        let mark = source.rank() as u8 + 1;
        let Some(place) = self.by_chunk.get(index.as_usize()) else { return };
        let before = source_of(place.swap(mark, Relaxed));
        let (was_due, is_due) = (before.is_some_and(Source::is_due), source.is_due());
        match (was_due, is_due) {
            (false, true) => _ = self.ahead.fetch_add(1, Relaxed),
            (true, false) => _ = self.ahead.fetch_sub(1, Relaxed),
            _ => {}
        }
    }

    /// A chunk that was prefetched for this source has come.
    pub(super) fn came(&self, source: Source, bytes: u64) {
        self.tallies[source.rank()].fetched.add(bytes);
    }

    /// For whom this chunk is ahead of its reader, if it is.
    pub(in crate::reader) fn ahead_for(&self, index: ChunkIndex) -> Option<Source> {
        source_of(self.by_chunk.get(index.as_usize())?.load(Relaxed))
    }

    /// This chunk could not be had.
    pub(super) fn failed(&self, index: ChunkIndex, source: Source) {
        self.take(index);
        self.tallies[source.rank()].failed_chunks.fetch_add(1, Relaxed);
    }

    /// This chunk lies in a tier below, and is ahead of nobody here.
    pub(super) fn settled(&self, index: ChunkIndex) {
        self.take(index);
    }

    /// A reader reads this chunk; says whether it was ahead of the reader. Costs next to nothing if it was
    /// not prefetched.
    pub(in crate::reader) fn read(&self, index: ChunkIndex, bytes: impl FnOnce() -> u64) -> bool {
        let source = self.take(index);
        if let Some(source) = source {
            self.tallies[source.rank()].used.add(bytes());
        }
        source.is_some()
    }

    /// This chunk is thrown away.
    pub(in crate::reader) fn evicted(&self, index: ChunkIndex) {
        if let Some(source) = self.take(index) {
            self.tallies[source.rank()].evicted_chunks.fetch_add(1, Relaxed);
        }
    }

    pub(in crate::reader) fn counts(&self, source: Source) -> PrefetchCounts {
        let tally = &self.tallies[source.rank()];
        PrefetchCounts {
            fetched_chunks: tally.fetched.chunks.load(Relaxed),
            fetched_bytes: tally.fetched.bytes.load(Relaxed),
            used_chunks: tally.used.chunks.load(Relaxed),
            used_bytes: tally.used.bytes.load(Relaxed),
            evicted_chunks: tally.evicted_chunks.load(Relaxed),
            failed_chunks: tally.failed_chunks.load(Relaxed),
        }
    }

    fn take(&self, index: ChunkIndex) -> Option<Source> {
        let place = self.by_chunk.get(index.as_usize())?;
        // The plain load keeps the hot path from bouncing the cache line between readers.
        if place.load(Relaxed) == 0 {
            return None;
        }
        let source = source_of(place.swap(0, Relaxed))?;
        if source.is_due() {
            self.ahead.fetch_sub(1, Relaxed);
        }
        Some(source)
    }
}
