//! Chunk ids, manifests, layer indexes and sealing: bytes to values and back.
//!
//! Pure: no I/O, no clock, no threads. The only crate of the house that touches a cipher. docs/FORMAT.md is its
//! specification, down to the byte.

mod error;
mod ids;
mod layer_index;
mod manifest;
mod seal;

pub use error::FormatError;
pub use ids::{ChunkId, DiffId, LayerIndexId, ManifestId, RootId, ScopeId};
pub use layer_index::{Attributes, BLOCK_SIZE, Content, Entry, EntryKind, LayerIndex, StreamChunk};
pub use manifest::{Chunk, Geometry, LayerExtent, Manifest};
pub use seal::ChunkKey;
