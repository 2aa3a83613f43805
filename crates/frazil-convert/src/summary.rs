//! What a conversion did.

use std::time::Duration;

use frazil_format::{ManifestId, RootId};
use serde::Serialize;

/// The figures of a conversion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conversion {
    /// The published manifest.
    pub manifest: ManifestId,
    /// The root that holds it.
    pub root: RootId,
    /// Whether the name already stood for exactly this image, so that nothing was written.
    pub unchanged: bool,
    /// Layers that the store knew, or that the image has twice.
    pub layers_reused: usize,
    /// Layers that were read from the source.
    pub layers_ingested: usize,
    /// Layers that are sealed for the shared scope: those of public base images.
    pub layers_public: usize,
    /// Bytes of blobs that were read from the source.
    pub source_bytes: u64,
    /// Bytes of uncompressed archives that were read.
    pub tar_bytes: u64,
    /// Chunks that were written.
    pub chunks_new: u64,
    /// Chunks that were cut, but were in the store.
    pub chunks_shared: u64,
    /// Sealed bytes that were written.
    pub bytes_written: u64,
    /// Chunks of the whole image.
    pub image_chunks: u64,
    /// The length of the metadata area in bytes.
    pub metadata_bytes: u64,
    /// The length of the image in bytes.
    pub image_bytes: u64,
    /// Files, directories and everything else in the image.
    pub inodes: u64,
    /// What could not be taken over.
    pub warnings: Warnings,
    /// How long it took.
    pub duration: Duration,
}

/// What the layers that were read say, but no mounted image could or should show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Warnings {
    /// Extended attributes that the kernel or EROFS cannot carry, or that are the host's own business.
    pub dropped_xattrs: u64,
}
