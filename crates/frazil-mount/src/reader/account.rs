//! The account of an image's reads: which blocks were read, which level had each chunk, and how long readers waited.
//!
//! Invariants: it costs a read that finds its chunk decoded a load for its page and one for each 256 KiB, and it is
//! bounded: a bit for each block of data, a byte for each chunk, and [`WAITS_MAX`] places where readers waited.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use frazil_cache::Level;
use frazil_cache::host::{Meter, MeterCounts};
use frazil_cache::resilience::Priority;
use frazil_erofs::BLOCK_SIZE;
use frazil_format::{CHUNKS_PER_PAGE, ChunkPage};

use super::ChunkIndex;
use super::blocks::{Blocks, blocks_of};
use super::chunk_table::ChunkTable;

/// Places of the image where readers waited that are told apart; what comes later is only counted.
const WAITS_MAX: usize = 1 << 16;

/// A chunk that came because it was prefetched, beside its level.
const AHEAD: u8 = 0x80;

/// What was read so far, and how.
pub(crate) struct Account {
    /// The blocks of each page of the chunk table, once one of them was read.
    pages: Box<[OnceLock<PageBlocks>]>,
    /// Zero, or one more than the level that had the chunk, and [`AHEAD`].
    origins: Box<[AtomicU8]>,
    waits: Mutex<Waits>,
    levels: [Meter; Level::ALL.len()],
}

/// The blocks of the chunks of one page.
struct PageBlocks {
    /// The bit of each chunk's first block.
    first_bits: Box<[u32]>,
    blocks: Blocks,
}

/// Where readers waited, by the block of the image.
#[derive(Clone, Default)]
pub(crate) struct Waits {
    pub(crate) by_block: HashMap<u64, Wait>,
    /// Waits at places beyond those that are told apart.
    pub(crate) elsewhere: Wait,
}

/// How often and how long readers waited.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Wait {
    /// Reads that waited.
    pub count: u64,
    /// How long they waited in all.
    pub total: Duration,
    /// The longest.
    pub longest: Duration,
}

/// Where a chunk came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Provenance {
    pub(crate) level: Level,
    /// Whether it was fetched for a reader, or ahead of one.
    pub(crate) priority: Priority,
}

impl Wait {
    /// Adds other waits to these.
    pub fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.total = self.total.saturating_add(other.total);
        self.longest = self.longest.max(other.longest);
    }
}

impl PageBlocks {
    fn new(page: &ChunkPage) -> Self {
        let mut bits = 0_u32;
        let first_bits = page.chunks.iter().map(|chunk| {
            let first = bits;
            bits = bits.saturating_add(chunk.len.div_ceil(BLOCK_SIZE as u32));
            first
        });
        Self { first_bits: first_bits.collect(), blocks: Blocks::new(bits as usize) }
    }

    /// The bits of these bytes of a chunk.
    fn blocks_of(&self, index: ChunkIndex, within: &Range<usize>) -> Option<Range<usize>> {
        let first = *self.first_bits.get(index.as_usize() % CHUNKS_PER_PAGE)? as usize;
        let blocks = blocks_of(within);
        Some(first + blocks.start..first + blocks.end)
    }
}

impl Account {
    /// The account of an image of `chunk_count` chunks.
    pub(super) fn new(chunk_count: usize) -> Self {
        Self {
            pages: (0..chunk_count.div_ceil(CHUNKS_PER_PAGE)).map(|_| OnceLock::new()).collect(),
            origins: (0..chunk_count).map(|_| AtomicU8::new(0)).collect(),
            waits: Mutex::default(),
            levels: Default::default(),
        }
    }

    /// These bytes of a chunk are read now.
    pub(super) fn read(&self, table: &ChunkTable, index: ChunkIndex, within: &Range<usize>) {
        let number = index.as_usize() / CHUNKS_PER_PAGE;
        let (Some(place), Some(page)) = (self.pages.get(number), table.page(number)) else { return };
        let page = place.get_or_init(|| PageBlocks::new(page));
        if let Some(blocks) = page.blocks_of(index, within) {
            page.blocks.set(blocks);
        }
    }

    /// How many blocks of these bytes of a chunk were read.
    pub(crate) fn blocks_read(&self, index: ChunkIndex, within: &Range<usize>) -> u64 {
        let page = self.pages.get(index.as_usize() / CHUNKS_PER_PAGE).and_then(OnceLock::get);
        let count = |page: &PageBlocks| page.blocks_of(index, within).map(|blocks| page.blocks.count(blocks));
        page.and_then(count).unwrap_or(0)
    }

    /// What was read of the image's data and metadata, in bytes; whole blocks.
    pub(crate) fn read_bytes(&self) -> u64 {
        let pages = self.pages.iter().filter_map(OnceLock::get);
        pages.map(|page| page.blocks.count_all()).sum::<u64>().saturating_mul(BLOCK_SIZE as u64)
    }

    /// A sealed chunk came.
    pub(super) fn fetched(&self, index: ChunkIndex, from: Provenance, len: usize, after: Duration) {
        self.came(index, from);
        self.levels[from.level as usize].answered(len, after);
    }

    /// A sealed chunk came ahead of its readers, along with others.
    pub(super) fn supplied(&self, index: ChunkIndex) {
        self.came(index, Provenance { level: Level::Origin, priority: Priority::Prefetch });
    }

    fn came(&self, index: ChunkIndex, from: Provenance) {
        let ahead = if from.priority == Priority::Prefetch { AHEAD } else { 0 };
        if let Some(origin) = self.origins.get(index.as_usize()) {
            origin.store((from.level as u8 + 1) | ahead, Relaxed);
        }
    }

    /// Where a chunk came from, the last time that it did.
    pub(crate) fn provenance(&self, index: ChunkIndex) -> Option<Provenance> {
        let origin = self.origins.get(index.as_usize())?.load(Relaxed);
        let level = Level::ALL.get(usize::from(origin & !AHEAD).checked_sub(1)?)?;
        let priority = if origin & AHEAD == 0 { Priority::Demand } else { Priority::Prefetch };
        Some(Provenance { level: *level, priority })
    }

    /// A reader of the byte at `offset` waited.
    pub(super) fn waited(&self, offset: u64, waited: Duration) {
        let mut waits = self.lock_waits();
        let block = offset / BLOCK_SIZE as u64;
        let is_full = waits.by_block.len() >= WAITS_MAX && !waits.by_block.contains_key(&block);
        let place = if is_full { &mut waits.elsewhere } else { waits.by_block.entry(block).or_default() };
        place.add(&Wait { count: 1, total: waited, longest: waited });
    }

    /// Where readers waited.
    pub(crate) fn waits(&self) -> Waits {
        self.lock_waits().clone()
    }

    /// All waits.
    pub(super) fn all_waits(&self) -> Wait {
        let waits = self.lock_waits();
        let mut sum = waits.elsewhere;
        waits.by_block.values().for_each(|wait| sum.add(wait));
        sum
    }

    fn lock_waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The chunks that each level had.
    pub(crate) fn levels(&self) -> Vec<(Level, MeterCounts)> {
        Level::ALL.into_iter().map(|level| (level, self.levels[level as usize].counts())).collect()
    }
}
