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

/// Which level had a chunk. Through a host cache it is the level of the host that had it: whoever reads learns where
/// the bytes come from, and not merely who handed them over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// The memory of the host.
    Memory,
    /// Its disk.
    Disk,
    /// The zone's fleet.
    Remote,
    /// The store itself.
    Origin,
}

/// A chunk, and the level that had it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Served {
    /// The sealed bytes.
    pub chunk: SealedChunk,
    /// The level that had them. Whoever joins a fetch that is under way learns where that one ended.
    pub by: Level,
}

impl Level {
    /// Every level, the nearest first.
    pub const ALL: [Self; 4] = [Self::Memory, Self::Disk, Self::Remote, Self::Origin];

    /// The word for it, as metrics and `frazil explain` show it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Remote => "remote",
            Self::Origin => "origin",
        }
    }
}

impl Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

impl Served {
    /// A chunk that this level had.
    pub fn by(by: Level, chunk: SealedChunk) -> Self {
        Self { chunk, by }
    }

    /// A chunk of the last level.
    pub fn by_origin(chunk: SealedChunk) -> Self {
        Self::by(Level::Origin, chunk)
    }
}

/// An answer is the chunk that was meant, whoever had it.
impl PartialEq<SealedChunk> for Served {
    fn eq(&self, chunk: &SealedChunk) -> bool {
        self.chunk == *chunk
    }
}

/// One level of the cache, or several, stacked: `memory(64 MiB) → origin(file:///srv/store)` is how it prints.
///
/// The invariant of every tier, which [`SealedChunk`] carries: an answer is the chunk that was wanted, verified
/// against its id, of the length that was wanted. Dropping the future gives up the wait, and nothing else.
#[async_trait]
pub trait Tier: Debug + Display + Send + Sync {
    /// The sealed bytes of a chunk, and which level had them.
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError>;
}
