//! The manifest: everything that is needed to read one image.
//!
//! Clear but authenticated: geometry, layers and chunk table, so that garbage collection and scrubbing can list
//! chunks without any key. Sealed: the chunk keys and the OCI configuration. docs/FORMAT.md has the bytes.
//!
//! It is read as a whole ([`SealedManifest`], [`Manifest`]), or while it comes ([`SealedFront`], [`ManifestReader`]).

mod check;
mod chunk_page;
mod front;
mod geometry;
mod header;
mod open;
mod reader;
mod seal;
mod section;

pub use chunk_page::CHUNKS_PER_PAGE;
pub use front::SealedFront;
pub use open::SealedManifest;
pub use reader::{ChunkPage, ManifestReader};
#[cfg(test)]
pub(crate) use {
    header::{Draft, Kind},
    seal::{ManifestKeys, encode_sections},
};

use crate::{ChunkId, ChunkKey, DiffId, RootId, ScopeId};

/// What a manifest says of its image, in the clear.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// The root that the image was converted in, which the keys of its chunks derive from. The reference says
    /// where the manifest and its chunks lie: garbage collection may have copied them since.
    pub root: RootId,
    /// The tenant that the image belongs to.
    pub tenant: String,
    /// The name it was published under.
    pub name: String,
    /// When it was published: seconds since the epoch.
    pub created_seconds: u64,
    /// The length of the metadata area at the start of the image, in bytes; a multiple of the block size.
    pub metadata_len: u64,
    /// The scope whose secret sealed the metadata area.
    pub metadata_scope: ScopeId,
    /// The length of the whole image, in bytes.
    pub image_len: u64,
    /// The layer streams, in the order in which they lie behind the metadata area, without gaps.
    pub layers: Vec<LayerExtent>,
}

/// Where one layer's stream lies in the image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LayerExtent {
    /// The layer.
    pub diff_id: DiffId,
    /// The scope whose secret sealed it.
    pub scope: ScopeId,
    /// Where the stream starts in the image, in bytes.
    pub offset: u64,
    /// The stream's length, in bytes.
    pub len: u64,
}

/// One chunk of an image. What no chunk covers is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// Where the chunk starts in the image, in bytes.
    pub offset: u64,
    /// The length of the chunk, in bytes.
    pub len: u32,
    /// The length of the sealed chunk, in bytes.
    pub sealed_len: u32,
    /// The sealed chunk's name.
    pub id: ChunkId,
}

/// A manifest that was opened with its image's data key: all of it is authentic.
#[derive(Clone, PartialEq, Debug)]
pub struct Manifest {
    /// What it says in the clear.
    pub geometry: Geometry,
    /// Every chunk, sorted by offset.
    pub chunks: Vec<Chunk>,
    /// The key of each chunk, in the same order.
    pub keys: Vec<ChunkKey>,
    /// The OCI image configuration, as the source gave it (JSON).
    pub config: Vec<u8>,
}
