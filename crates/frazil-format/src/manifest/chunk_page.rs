//! The chunk table, in pages: fixed-size records, so that a reader can begin with the pages that it has. Clear.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Chunk;
use crate::ChunkId;

/// How many chunks one page holds; the last page holds the rest.
pub const CHUNKS_PER_PAGE: usize = 1024;

/// The length of one record, in bytes.
pub(super) const RECORD_LEN: usize = size_of::<Record>();

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Record {
    offset: U64,
    len: U32,
    sealed_len: U32,
    id: [u8; 32],
}

/// One page's bytes.
pub(super) fn encode(chunks: &[Chunk]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(chunks.len() * RECORD_LEN);
    for chunk in chunks {
        let record = Record {
            offset: chunk.offset.into(),
            len: chunk.len.into(),
            sealed_len: chunk.sealed_len.into(),
            id: *chunk.id.as_bytes(),
        };
        bytes.extend_from_slice(record.as_bytes());
    }
    bytes
}

/// The chunks of one page, whose length the header has already fixed to whole records.
pub(super) fn decode(bytes: &[u8]) -> impl Iterator<Item = Chunk> {
    let records = <[Record]>::ref_from_bytes(bytes).unwrap_or_default();
    records.iter().map(|record| Chunk {
        offset: record.offset.get(),
        len: record.len.get(),
        sealed_len: record.sealed_len.get(),
        id: ChunkId::from_bytes(record.id),
    })
}
