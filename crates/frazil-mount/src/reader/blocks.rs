//! A bit for each of a fixed number of blocks (or chunks), set by many readers at once and never taken back.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use frazil_erofs::BLOCK_SIZE;

const WORD_BITS: usize = u64::BITS as usize;

/// The bits.
pub(super) struct Blocks(Box<[AtomicU64]>);

impl Blocks {
    /// `count` blocks, none of them set.
    pub(super) fn new(count: usize) -> Self {
        Self((0..count.div_ceil(WORD_BITS)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Sets these blocks; how many were not set before. A block that is set costs a load.
    pub(super) fn set(&self, blocks: Range<usize>) -> u32 {
        let set = |(word, mask): (&AtomicU64, u64)| {
            if word.load(Relaxed) & mask == mask {
                return 0;
            }
            (mask & !word.fetch_or(mask, Relaxed)).count_ones()
        };
        self.words(blocks).map(set).sum()
    }

    /// Whether this block is set.
    pub(super) fn contains(&self, block: usize) -> bool {
        self.count(block..block + 1) > 0
    }

    /// How many of these blocks are set.
    pub(super) fn count(&self, blocks: Range<usize>) -> u64 {
        self.words(blocks).map(|(word, mask)| u64::from((word.load(Relaxed) & mask).count_ones())).sum()
    }

    /// How many blocks are set at all.
    pub(super) fn count_all(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.load(Relaxed).count_ones())).sum()
    }

    /// The words that hold these blocks, and which of their bits do.
    fn words(&self, blocks: Range<usize>) -> impl Iterator<Item = (&AtomicU64, u64)> {
        let Range { start: mut block, end } = blocks;
        std::iter::from_fn(move || {
            if block >= end {
                return None;
            }
            let word = self.0.get(block / WORD_BITS)?;
            let count = ((block / WORD_BITS + 1) * WORD_BITS).min(end) - block;
            let mask = (u64::MAX >> (WORD_BITS - count)) << (block % WORD_BITS);
            block += count;
            Some((word, mask))
        })
    }
}

/// The blocks that these bytes lie in.
pub(super) fn blocks_of(bytes: &Range<usize>) -> Range<usize> {
    bytes.start / BLOCK_SIZE..bytes.end.div_ceil(BLOCK_SIZE)
}
