//! Why a tier has no answer.
//!
//! One fetch may have many waiters, so an error can be cloned; its class is what retries and errnos look at.

use std::error::Error;
use std::sync::Arc;

use frazil_format::{ChunkId, RootId};
use frazil_store::{ErrorClass, StoreError, causes};

/// What went wrong below, for people to read.
type Cause = Arc<dyn Error + Send + Sync>;

/// Why a tier has no answer. Every variant names the chunk and the tier that said so.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TierError {
    /// No tier has the chunk.
    #[error("chunk {id} is not in root {root} of {tier}")]
    NotFound {
        /// The chunk.
        id: ChunkId,
        /// The root that should hold it.
        root: RootId,
        /// The tier that was asked.
        tier: String,
    },
    /// The tier has other bytes under the chunk's name.
    #[error("chunk {id} is corrupt in {tier}")]
    Corrupt {
        /// The chunk.
        id: ChunkId,
        /// The tier that was asked.
        tier: String,
        /// What is wrong with the bytes.
        source: Cause,
    },
    /// The chunk is intact, and not what its manifest says.
    #[error("chunk {id} in {tier} has {len} sealed bytes, the manifest says {expected}")]
    WrongLength {
        /// The chunk.
        id: ChunkId,
        /// The tier that was asked.
        tier: String,
        /// Its length in bytes.
        len: u64,
        /// The length that was wanted, in bytes.
        expected: u64,
    },
    /// The tier may have an answer when it is asked again.
    #[error("chunk {id} cannot be had from {tier} now")]
    Transient {
        /// The chunk.
        id: ChunkId,
        /// The tier that was asked.
        tier: String,
        /// What went wrong.
        source: Cause,
    },
    /// The tier refuses to answer.
    #[error("chunk {id} is refused by {tier}")]
    Denied {
        /// The chunk.
        id: ChunkId,
        /// The tier that was asked.
        tier: String,
        /// Why.
        source: Cause,
    },
}

/// What is wrong with the bytes; which chunk of which root they should be is said already.
fn cause(error: StoreError) -> Cause {
    match error {
        StoreError::CorruptChunk { source, .. } => Arc::new(source),
        error => Arc::new(error),
    }
}

impl TierError {
    /// What a caller can do about it; never [`ErrorClass::Full`].
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::Corrupt { .. } | Self::WrongLength { .. } => ErrorClass::Corrupt,
            Self::Transient { .. } => ErrorClass::Transient,
            Self::Denied { .. } => ErrorClass::Denied,
        }
    }

    /// What a store said when it was asked for a chunk.
    pub(crate) fn from_store(root: RootId, id: ChunkId, tier: String, error: StoreError) -> Self {
        match error.class() {
            ErrorClass::NotFound => Self::NotFound { id, root, tier },
            ErrorClass::Corrupt => Self::Corrupt { id, tier, source: cause(error) },
            ErrorClass::Denied => Self::Denied { id, tier, source: Arc::new(error) },
            ErrorClass::Transient | ErrorClass::Full => Self::Transient { id, tier, source: Arc::new(error) },
        }
    }
}

/// An error and what caused it, in one line, nothing twice.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    causes(error).map(ToString::to_string).fold(String::new(), |line, cause| match line.as_str() {
        "" => cause,
        said if said.ends_with(&cause) => line,
        _ => format!("{line}: {cause}"),
    })
}
