//! Everything that can go wrong between a source and a published image.

use frazil_erofs::ErofsError;
use frazil_format::{DiffId, FormatError};
use frazil_store::StoreError;
use std::io;

use crate::archive::ArchiveError;
use crate::flatten::FlattenError;
use crate::source::SourceError;

/// Why an image was not converted. Nothing is visible under its name then that was not before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// One of the image's layers could not be taken.
    #[error("cannot convert layer {index} (sha256:{diff_id})")]
    Layer {
        /// The layer's position, from 0 at the bottom.
        index: usize,
        /// The layer.
        diff_id: DiffId,
        /// Why.
        source: Box<ConvertError>,
    },
    /// The bytes of a layer's blob stopped coming, or are not those that its digest names.
    #[error("cannot read the blob")]
    Blob(#[source] io::Error),
    /// A layer's blob is not compressed as it claims to be.
    #[error("cannot decompress the blob")]
    Decompress(#[source] io::Error),
    /// A layer's archive is broken.
    #[error(transparent)]
    Archive(ArchiveError),
    /// A layer's archive is not the one that the image's config names.
    #[error("the uncompressed layer has the digest sha256:{actual}, not the diff id that the config states")]
    WrongDiffId {
        /// What it hashes to.
        actual: DiffId,
    },
    /// The image outgrew its bound.
    #[error("{what} exceed the limit of {limit} bytes")]
    TooLarge {
        /// What outgrew it.
        what: &'static str,
        /// The bound in bytes.
        limit: u64,
    },
    /// A layer has more entries than are held in memory.
    #[error("the layer's entries take more than {limit} bytes of memory")]
    TooManyEntries {
        /// The bound in bytes.
        limit: u64,
    },
    /// The layers of an image together have more entries than are held in memory.
    #[error("the entries of all layers, repeated ones included, take more than {limit} bytes of memory")]
    TooManyEntriesInImage {
        /// The bound in bytes.
        limit: u64,
    },
    /// Sizes that chunks cannot be cut to.
    #[error("chunks of {min} to {max} bytes, {average} on average, cannot be cut: {reason}")]
    BadCutParameters {
        /// The smallest chunk in bytes.
        min: u32,
        /// The average chunk in bytes.
        average: u32,
        /// The largest chunk in bytes.
        max: u32,
        /// What is wrong with them.
        reason: &'static str,
    },
    /// The layers do not fit onto each other.
    #[error(transparent)]
    Flatten(#[from] FlattenError),
    /// The tree cannot be written as EROFS.
    #[error("cannot write the image's metadata")]
    Metadata(#[from] ErofsError),
    /// The name stands for an image that may be sound, and cannot be opened here: with these keys, or by this program.
    #[error("the image {name} stays: it cannot be opened here")]
    NotOurs {
        /// The name.
        name: String,
        /// Why it does not open.
        source: Box<ConvertError>,
    },
    /// Something could not be sealed, or what was sealed is not what it should be.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The store could not be written or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Threads could not be started.
    #[error("cannot start a worker thread")]
    Thread(#[source] io::Error),
    /// A stage ended before its work was done, because another one failed or the conversion was given up.
    #[error("the conversion stopped before it was complete")]
    Stopped,
}

impl ConvertError {
    /// What a person could do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Source(source) => source.hint(),
            Self::Layer { source, .. } => source.hint(),
            Self::NotOurs { .. } => Some(
                "use the keyring and the Frazil that it was made with, another --name, or --replace to give it up"
                    .to_owned(),
            ),
            Self::TooLarge { .. } => Some("raise the limit with --max-image-size".to_owned()),
            _ => None,
        }
    }

    /// Whether the root was retired while it was written to.
    pub(crate) fn is_retired_root(&self) -> bool {
        match self {
            Self::Store(StoreError::RootNotActive { .. }) => true,
            Self::Layer { source, .. } => source.is_retired_root(),
            _ => false,
        }
    }

    /// What a reader's error stands for: an error of ours that travelled inside of it, or else one of its own.
    pub(crate) fn out_of(error: io::Error, otherwise: impl FnOnce(io::Error) -> Self) -> Self {
        error.downcast::<Self>().unwrap_or_else(otherwise)
    }
}

impl From<ArchiveError> for ConvertError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Read { offset, source } => {
                Self::out_of(source, |source| Self::Archive(ArchiveError::Read { offset, source }))
            }
            error => Self::Archive(error),
        }
    }
}
