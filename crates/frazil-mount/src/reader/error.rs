//! Why a read failed, and the errno that says so: the one place where a class becomes a number.

use std::sync::Arc;
use std::time::Duration;

use frazil_cache::TierError;
use frazil_erofs::ErofsError;
use frazil_format::{ChunkId, FormatError, ManifestId};

use super::ArrivalError;

/// A manifest that no image can be read from.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Chunks and keys do not pair up.
    #[error("the manifest lists {chunks} chunks and {keys} keys")]
    KeyCount {
        /// How many chunks it lists.
        chunks: usize,
        /// How many keys it lists.
        keys: usize,
    },
    /// There are more chunks than can be counted.
    #[error("the manifest lists {chunks} chunks")]
    TooMany {
        /// How many chunks it lists.
        chunks: usize,
    },
    /// A chunk overlaps its neighbour, is empty, or reaches out of the image.
    #[error("chunk {chunk} cannot lie at offset {offset} of the image")]
    Misplaced {
        /// The chunk.
        chunk: ChunkId,
        /// Where the manifest puts it, in bytes.
        offset: u64,
    },
}

/// A read that failed. Cheap to clone, since every reader that waited for one chunk gets it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The tier could not give the sealed chunk.
    #[error("the chunk at image offset {offset} could not be fetched")]
    Fetch {
        /// The chunk.
        chunk: ChunkId,
        /// Where the chunk starts in the image, in bytes.
        offset: u64,
        /// What the tier says.
        source: Arc<TierError>,
    },
    /// The tier did not answer in time.
    #[error("chunk {chunk} at image offset {offset} did not arrive within {deadline:?}")]
    Deadline {
        /// The chunk.
        chunk: ChunkId,
        /// Where the chunk starts in the image, in bytes.
        offset: u64,
        /// How long it was waited for.
        deadline: Duration,
    },
    /// The sealed chunk is what its id says, yet it does not open.
    #[error("chunk {chunk} at image offset {offset} could not be opened")]
    Open {
        /// The chunk.
        chunk: ChunkId,
        /// Where the chunk starts in the image, in bytes.
        offset: u64,
        /// What is wrong with it.
        source: Arc<FormatError>,
    },
    /// A page of the chunk table could not be had: it is not known which chunks lie there.
    #[error("page {page} of the chunk table in manifest {manifest} could not be had")]
    Page {
        /// The manifest.
        manifest: ManifestId,
        /// The page, from zero.
        page: u32,
        /// Why not.
        source: Arc<ArrivalError>,
    },
    /// A page of the chunk table did not come in time.
    #[error("page {page} of the chunk table in manifest {manifest} did not arrive within {deadline:?}")]
    PageDeadline {
        /// The manifest.
        manifest: ManifestId,
        /// The page, from zero.
        page: u32,
        /// How long it was waited for.
        deadline: Duration,
    },
    /// The metadata area contradicts itself.
    #[error("the image's metadata is invalid")]
    Metadata(#[source] Arc<ErofsError>),
    /// The agent is going down.
    #[error("the reader stopped")]
    Stopped,
}

impl From<ErofsError> for ReadError {
    fn from(error: ErofsError) -> Self {
        Self::Metadata(Arc::new(error))
    }
}

impl ReadError {
    /// The errno that a program sees. A read-only image has one honest answer to a chunk that is corrupt,
    /// missing, denied or late alike: the bytes could not be read.
    pub fn errno(&self) -> i32 {
        match self {
            Self::Fetch { .. }
            | Self::Deadline { .. }
            | Self::Open { .. }
            | Self::Page { .. }
            | Self::PageDeadline { .. }
            | Self::Metadata(_)
            | Self::Stopped => libc::EIO,
        }
    }

    /// The chunk that it is about, and where that chunk starts in the image.
    pub fn chunk(&self) -> Option<(ChunkId, u64)> {
        match self {
            Self::Fetch { chunk, offset, .. }
            | Self::Deadline { chunk, offset, .. }
            | Self::Open { chunk, offset, .. } => Some((*chunk, *offset)),
            Self::Page { .. } | Self::PageDeadline { .. } | Self::Metadata(_) | Self::Stopped => None,
        }
    }
}
