//! Proving a published image: every chunk against its id and key, every path and byte against the source.
//!
//! Invariant: what a verification finds wrong with the image is a finding, reported in a list; it fails only when it
//! could not look. The comparison with the source reads the layers again and trusts no layer index of the store.

mod against_source;
mod chunks;
mod content;
mod words;

pub use against_source::{Comparison, Difference, against_source};
pub use chunks::{ChunkFault, ChunkReport, chunks};

use async_trait::async_trait;
use bytes::Bytes;

/// An image's bytes, as its readers get them.
#[async_trait]
pub trait AddressSpace: Send + Sync {
    /// The length of the image in bytes.
    fn len(&self) -> u64;

    /// Whether the image has no byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Exactly `len` bytes from `offset` on.
    async fn read(&self, offset: u64, len: usize) -> std::io::Result<Bytes>;
}
