//! Chunk ids, manifests, layer indexes and sealing: bytes to values and back.
//!
//! Pure: no I/O, no clock, no threads. The only crate of the house that touches a cipher. docs/FORMAT.md is its
//! specification, down to the byte.

pub mod bounds;

mod bundle;
mod chunk_order;
mod cipher;
mod domains;
mod error;
mod ids;
mod layer_index;
mod manifest;
mod packed;
mod payload;
mod profile;
mod seal;
mod secret;
mod wrap;
mod wrap_context;
mod zstd_frame;

pub use bounds::{MAX_CHUNK_LEN, MAX_SEALED_LEN};
pub use bundle::{Bundle, BundleOpener, BundleSealer, SEGMENT_LEN, bundle_len};
pub use error::FormatError;
pub use ids::{BundleId, ChunkId, DiffId, LabelId, LayerIndexId, ManifestId, RootId, ScopeId};
pub use layer_index::{Attributes, BLOCK_SIZE, Content, Entry, EntryKind, LayerIndex, StreamChunk};
pub use manifest::{
    CHUNKS_PER_PAGE, Chunk, ChunkPage, Geometry, LayerExtent, Manifest, ManifestReader, SealedFront,
    SealedManifest,
};
pub use payload::{Compression, Payload};
pub use profile::{Label, Profile, ProfiledChunk, Profiles};
pub use seal::{Sealed, SealedChunk, Sealer, open_chunk};
pub use secret::{ChunkKey, DataKey, ProfileKey, ScopeSecret, WrappingKey};
pub use wrap::WrappedKey;
pub use wrap_context::{WrapContext, scope_wrap_context, wrap_context};

#[cfg(test)]
mod tests;
