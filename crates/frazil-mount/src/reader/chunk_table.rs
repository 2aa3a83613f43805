//! Where the bytes of an image are: a manifest's chunks and their keys, searchable by offset.
//!
//! Invariant: chunks are sorted, do not overlap, lie within the image and have one key each. It is checked
//! once, here, so that nobody behind it has to.

use std::ops::Range;

use frazil_format::{Chunk, ChunkKey, Manifest};

use super::{ChunkIndex, ImageError};

/// The checked chunks of one image.
pub(super) struct ChunkTable {
    chunks: Vec<Chunk>,
    keys: Vec<ChunkKey>,
    image_len: u64,
    /// The chunks behind the metadata area and behind each layer.
    area_ends: Vec<usize>,
}

/// A part of a range that comes from one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Piece {
    /// No chunk covers it: this many zero bytes.
    Zeros(usize),
    /// These bytes of this chunk.
    Chunk(ChunkIndex, Range<usize>),
}

impl Piece {
    /// The piece's length in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Zeros(len) => *len,
            Self::Chunk(_, within) => within.len(),
        }
    }
}

impl ChunkTable {
    /// Checks a manifest's chunks.
    pub(super) fn new(manifest: Manifest) -> Result<Self, ImageError> {
        let Manifest { geometry, chunks, keys, .. } = manifest;
        if chunks.len() != keys.len() || u32::try_from(chunks.len()).is_err() {
            return Err(ImageError::KeyCount { chunks: chunks.len(), keys: keys.len() });
        }
        let mut end = 0;
        for chunk in &chunks {
            let chunk_end = chunk.offset.checked_add(u64::from(chunk.len));
            match chunk_end {
                Some(chunk_end)
                    if chunk.len > 0 && chunk.offset >= end && chunk_end <= geometry.image_len =>
                {
                    end = chunk_end;
                }
                _ => return Err(ImageError::Misplaced { chunk: chunk.id, offset: chunk.offset }),
            }
        }
        let ends = geometry.layers.iter().map(|layer| layer.offset.saturating_add(layer.len));
        let area_ends = std::iter::once(geometry.metadata_len)
            .chain(ends)
            .map(|end| chunks.partition_point(|chunk| chunk.offset < end))
            .collect();
        Ok(Self { chunks, keys, image_len: geometry.image_len, area_ends })
    }

    /// The length of the image in bytes.
    pub(super) fn image_len(&self) -> u64 {
        self.image_len
    }

    /// How many chunks there are.
    pub(super) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// The length of each chunk, in bytes, in order.
    pub(super) fn lens(&self) -> impl Iterator<Item = u32> {
        self.chunks.iter().map(|chunk| chunk.len)
    }

    /// A chunk and its key.
    pub(super) fn get(&self, index: ChunkIndex) -> Option<(&Chunk, &ChunkKey)> {
        let at = index.as_usize();
        Some((self.chunks.get(at)?, self.keys.get(at)?))
    }

    /// The length of a chunk in bytes; nothing if there is none.
    pub(super) fn len_of(&self, index: usize) -> u64 {
        self.chunks.get(index).map_or(0, |chunk| u64::from(chunk.len))
    }

    /// The length of a sealed chunk, in bytes; 0 if there is no such chunk.
    pub(super) fn sealed_len_of(&self, index: ChunkIndex) -> u64 {
        self.chunks.get(index.as_usize()).map_or(0, |chunk| u64::from(chunk.sealed_len))
    }

    /// Where the metadata area, or the layer, ends that this chunk is in: the chunk behind it.
    pub(super) fn area_end(&self, index: usize) -> usize {
        let area = self.area_ends.partition_point(|end| *end <= index);
        self.area_ends.get(area).copied().unwrap_or(self.chunks.len())
    }

    /// The chunks of the metadata area.
    pub(super) fn metadata(&self) -> std::ops::Range<usize> {
        0..self.area_ends.first().copied().unwrap_or_default()
    }

    /// The pieces of `len` bytes at `offset`, in order, cut at the end of the image.
    pub(super) fn pieces(&self, offset: u64, len: usize) -> Pieces<'_> {
        let end = offset.saturating_add(len as u64).min(self.image_len);
        let next = self.chunks.partition_point(|chunk| chunk.offset + u64::from(chunk.len) <= offset);
        Pieces { table: self, at: offset, end, next }
    }
}

/// Iterates over the pieces of a range.
pub(super) struct Pieces<'a> {
    table: &'a ChunkTable,
    at: u64,
    end: u64,
    next: usize,
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.at >= self.end {
            return None;
        }
        let piece_end = match self.table.chunks.get(self.next) {
            Some(chunk) if chunk.offset <= self.at => {
                let piece_end = self.end.min(chunk.offset + u64::from(chunk.len));
                let within = (self.at - chunk.offset) as usize..(piece_end - chunk.offset) as usize;
                let piece = Piece::Chunk(ChunkIndex::new(self.next), within);
                self.at = piece_end;
                self.next += 1;
                return Some(piece);
            }
            Some(chunk) => self.end.min(chunk.offset),
            None => self.end,
        };
        let zeros = Piece::Zeros((piece_end - self.at) as usize);
        self.at = piece_end;
        Some(zeros)
    }
}
