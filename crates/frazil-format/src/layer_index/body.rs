//! The sealed part of a layer index: `head ‖ chunk records ‖ entries`. The entries are in postcard's wire format;
//! the rest are records of fixed size. The chunks' ids stand outside, in the clear.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};
use zeroize::Zeroizing;

use super::{Entry, LayerIndex, StreamChunk};
use crate::{ChunkId, ChunkKey, DiffId, FormatError};

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Head {
    diff_id: [u8; 32],
    tar_len: U64,
    stream_len: U64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Record {
    offset: U64,
    len: U32,
    sealed_len: U32,
    key: [u8; 32],
}

/// The body of a layer index.
pub(crate) fn encode(index: &LayerIndex) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let head = Head {
        diff_id: *index.diff_id.as_bytes(),
        tar_len: index.tar_len.into(),
        stream_len: index.stream_len.into(),
    };
    let entries = postcard::to_stdvec(&index.entries).map_err(|_| FormatError::BadEntries)?;
    let records_len = index.chunks.len() * size_of::<Record>();
    let mut bytes = Zeroizing::new(Vec::with_capacity(size_of::<Head>() + records_len + entries.len()));
    bytes.extend_from_slice(head.as_bytes());
    for chunk in &index.chunks {
        bytes.extend_from_slice(&chunk.offset.to_le_bytes());
        bytes.extend_from_slice(&chunk.len.to_le_bytes());
        bytes.extend_from_slice(&chunk.sealed_len.to_le_bytes());
        bytes.extend_from_slice(chunk.key.as_bytes());
    }
    bytes.extend_from_slice(&entries);
    Ok(bytes)
}

/// The layer index with this body and these chunks.
pub(super) fn decode(bytes: &[u8], chunk_ids: &[[u8; 32]]) -> Result<LayerIndex, FormatError> {
    let too_short = |_| FormatError::WrongLength {
        what: "body of a layer index",
        expected: (size_of::<Head>() + chunk_ids.len().saturating_mul(size_of::<Record>())) as u64,
        present: bytes.len() as u64,
    };
    let (head, rest) = Head::ref_from_prefix(bytes).map_err(|_| too_short(()))?;
    let (records, entries) =
        <[Record]>::ref_from_prefix_with_elems(rest, chunk_ids.len()).map_err(|_| too_short(()))?;
    Ok(LayerIndex {
        diff_id: DiffId::from_bytes(head.diff_id),
        tar_len: head.tar_len.get(),
        stream_len: head.stream_len.get(),
        entries: decode_entries(entries)?,
        chunks: records.iter().zip(chunk_ids).map(stream_chunk).collect(),
    })
}

fn decode_entries(bytes: &[u8]) -> Result<Vec<Entry>, FormatError> {
    match postcard::take_from_bytes(bytes) {
        Ok((entries, [])) => Ok(entries),
        _ => Err(FormatError::BadEntries),
    }
}

fn stream_chunk((record, id): (&Record, &[u8; 32])) -> StreamChunk {
    StreamChunk {
        offset: record.offset.get(),
        len: record.len.get(),
        sealed_len: record.sealed_len.get(),
        id: ChunkId::from_bytes(*id),
        key: ChunkKey::from_bytes(record.key),
    }
}
