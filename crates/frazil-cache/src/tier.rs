//! The seam that every level of the cache answers through.

use std::fmt::{Debug, Display};

use async_trait::async_trait;
use frazil_format::{ChunkId, RootId, SealedChunk};

use crate::TierError;

/// One chunk that somebody wants.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Wanted {
    /// The root that holds the chunk.
    pub root: RootId,
    /// The chunk.
    pub id: ChunkId,
    /// The length of the sealed chunk, in bytes, as its manifest says.
    pub sealed_len: u32,
}

/// One level of the cache, or several, stacked: `memory(64 MiB) → origin(file:///srv/store)` is how it prints.
///
/// The invariant of every tier, which [`SealedChunk`] carries: an answer is the chunk that was wanted, verified
/// against its id, of the length that was wanted. Dropping the future gives up the wait, and nothing else.
#[async_trait]
pub trait Tier: Debug + Display + Send + Sync {
    /// The sealed bytes of a chunk.
    async fn get(&self, wanted: &Wanted) -> Result<SealedChunk, TierError>;
}
