//! The ways of cutting and compressing that are compared.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use frazil_convert::{Cut, CutParameters, Cutter};
use frazil_format::{
    ChunkId, Compression, MAX_CHUNK_LEN, Payload, RootId, ScopeSecret, Sealed, Sealer, open_chunk,
};

use super::layers::Layer;

/// The codecs are compared at this size, in KiB: today's default.
const CODECS_AT_KIB: u32 = 128;

/// Where one chunk ends and the next begins.
#[derive(Clone, Copy)]
enum Cutting {
    /// Every so many bytes of the stream.
    Fixed(u32),
    /// By content, with this average, from a quarter to four times of it.
    Content(CutParameters, u32),
}

/// A way of making chunks.
pub(super) struct Way {
    cutting: Cutting,
    compression: Compression,
}

/// What a way makes of one layer.
pub(super) struct Chunks {
    pub(super) stream_bytes: u64,
    /// Cutting, compressing and sealing on one thread.
    pub(super) convert_s: f64,
    /// Every chunk and its sealed length.
    pub(super) sealed: Vec<(ChunkId, u64)>,
    /// For each image: what its start needs.
    pub(super) touched: BTreeMap<String, Touched>,
}

/// The chunks of one layer that one start needs.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) ids: HashSet<ChunkId>,
    pub(super) sealed_bytes: u64,
    /// Decrypting and decompressing them on one thread.
    pub(super) decode_s: f64,
}

impl Way {
    /// All sizes, fixed and by content, with the default codec; all codecs at one size.
    pub(super) fn all(sizes_kib: &[u32]) -> anyhow::Result<Vec<Self>> {
        let by_content = |kib: u32| -> anyhow::Result<Cutting> {
            let average = kib << 10;
            let max = average.saturating_mul(4).min(MAX_CHUNK_LEN);
            Ok(Cutting::Content(CutParameters::new(average / 4, average, max)?, average))
        };
        let zstd = |level| Compression::Zstd { level };
        let mut ways = Vec::new();
        for &kib in sizes_kib {
            ways.push(Self { cutting: by_content(kib)?, compression: zstd(3) });
        }
        for &kib in sizes_kib {
            ways.push(Self { cutting: Cutting::Fixed(kib << 10), compression: zstd(3) });
        }
        for compression in [Compression::None, zstd(1), zstd(6), zstd(9)] {
            ways.push(Self { cutting: by_content(CODECS_AT_KIB)?, compression });
        }
        Ok(ways)
    }

    /// Cuts, compresses and seals a layer, then opens what the starts need.
    pub(super) fn cut(&self, stream: &[u8], layer: &Layer) -> anyhow::Result<Chunks> {
        // One scope and one root for all, so that equal chunks have equal ids.
        let sealer = Sealer::new(&ScopeSecret::from_bytes([7; 32]), RootId::FIRST);
        let started = Instant::now();
        let cuts = self.cuts(stream);
        let chunks: Vec<(u64, usize, Sealed)> = cuts
            .into_iter()
            .map(|cut| {
                let sealed = sealer.seal(&Payload::compress(&cut.bytes, self.compression))?;
                Ok((cut.offset, cut.bytes.len(), sealed))
            })
            .collect::<anyhow::Result<_>>()?;
        let convert_s = started.elapsed().as_secs_f64();
        let mut touched = BTreeMap::new();
        for (image, ranges) in &layer.touched {
            let mut start = Touched::default();
            for (offset, len, sealed) in &chunks {
                let end = offset + *len as u64;
                let is_read = ranges.iter().any(|range| range.start < end && *offset < range.end);
                if is_read && start.ids.insert(sealed.id) {
                    start.sealed_bytes += sealed.chunk.len() as u64;
                    let opening = Instant::now();
                    std::hint::black_box(open_chunk(&sealed.chunk, &sealed.key, u32::try_from(*len)?)?);
                    start.decode_s += opening.elapsed().as_secs_f64();
                }
            }
            touched.insert(image.clone(), start);
        }
        let sealed = chunks.iter().map(|(_, _, sealed)| (sealed.id, sealed.chunk.len() as u64)).collect();
        Ok(Chunks { stream_bytes: stream.len() as u64, convert_s, sealed, touched })
    }

    fn cuts(&self, stream: &[u8]) -> Vec<Cut> {
        match self.cutting {
            Cutting::Fixed(size) => {
                let offsets = (0_u64..).step_by(size as usize);
                offsets
                    .zip(stream.chunks(size as usize))
                    .map(|(offset, bytes)| Cut { offset, bytes: Bytes::copy_from_slice(bytes) })
                    .collect()
            }
            Cutting::Content(parameters, _) => {
                let mut cuts = Vec::new();
                let mut emit = |cut| -> Result<(), std::convert::Infallible> {
                    cuts.push(cut);
                    Ok(())
                };
                let mut cutter = Cutter::new(parameters);
                let Ok(()) = cutter.data(stream, &mut emit);
                let Ok(()) = cutter.finish(&mut emit);
                cuts
            }
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cutting {
            Cutting::Fixed(size) => write!(f, "fixed {} KiB", size >> 10)?,
            Cutting::Content(_, average) => write!(f, "by content {} KiB", average >> 10)?,
        }
        match self.compression {
            Compression::None => write!(f, ", stored"),
            Compression::Zstd { level } => write!(f, ", zstd {level}"),
        }
    }
}
