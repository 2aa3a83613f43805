//! Chunks that are made when they are needed: what a cache of gigabytes is filled with.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use frazil_cache::Wanted;
use frazil_format::{ChunkId, RootId, SealedChunk};

/// So many chunks of one length, by number.
pub(crate) struct Chunks {
    /// Their length in bytes.
    pub(crate) chunk_len: usize,
    /// How long it took to make and hash all of them once.
    pub(crate) making: Duration,
    wanted: Vec<Wanted>,
    numbers: HashMap<ChunkId, usize>,
}

impl Chunks {
    /// The chunks, each made once to learn its id.
    pub(crate) fn new(count: usize, chunk_len: usize) -> Self {
        let started = Instant::now();
        let wanted: Vec<Wanted> = (0..count)
            .map(|number| {
                let id = ChunkId::of(&bytes(number, chunk_len));
                Wanted { root: RootId::FIRST, id, sealed_len: chunk_len as u32 }
            })
            .collect();
        let making = started.elapsed();
        let numbers = wanted.iter().enumerate().map(|(number, wanted)| (wanted.id, number)).collect();
        Self { chunk_len, making, wanted, numbers }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.wanted.len()
    }

    /// How a chunk is asked for.
    pub(crate) fn wanted(&self, number: usize) -> Option<&Wanted> {
        self.wanted.get(number)
    }

    /// The chunk of this id.
    pub(crate) fn make(&self, id: &ChunkId) -> Option<SealedChunk> {
        SealedChunk::verify(id, bytes(*self.numbers.get(id)?, self.chunk_len)).ok()
    }

    /// What no contender can be faster than.
    pub(crate) fn making_mb_per_second(&self) -> f64 {
        (self.len() * self.chunk_len) as f64 / 1e6 / self.making.as_secs_f64()
    }
}

/// Bytes that no file system can compress or share.
fn bytes(number: usize, len: usize) -> Bytes {
    let mut state = number as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut bytes = vec![0; len];
    for word in bytes.chunks_exact_mut(8) {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        word.copy_from_slice(&state.to_le_bytes());
    }
    bytes.into()
}
