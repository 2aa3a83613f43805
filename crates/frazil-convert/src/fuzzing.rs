//! What the fuzzer drives: layers' archives to a metadata area, without a store and without threads.

use frazil_format::DiffId;

use crate::cut::{Cut, Cutter};
use crate::ingest::{Allowance, LayerStream, read_entries};
use crate::{ConvertError, CutParameters, metadata};

/// The most that a fuzzed image may have, in bytes.
const MAX_BYTES: u64 = 1 << 40;

/// Reads, cuts, flattens and writes layers; the metadata area and the blocks of data that it speaks of.
///
/// # Errors
/// Whatever is wrong with the layers.
///
/// # Panics
/// If the chunks of a layer are not those of its stream.
pub fn image_of(layers: &[&[u8]]) -> Result<(Vec<u8>, u64), ConvertError> {
    let allowance = Allowance::new("the files", MAX_BYTES);
    let (mut read, mut data_blocks) = (Vec::new(), 0);
    for layer in layers {
        let mut end = 0;
        let check = |cut: Cut| {
            assert!(cut.offset >= end && !cut.bytes.is_empty(), "chunks are in order");
            end = cut.offset + cut.bytes.len() as u64;
            Ok(())
        };
        let mut stream = LayerStream::new(Cutter::new(CutParameters::default()), check, &allowance);
        let (entries, _, _) = read_entries(*layer, &mut stream)?;
        let stream_len = stream.len();
        stream.finish()?;
        assert!(
            end <= stream_len && stream_len.is_multiple_of(frazil_format::BLOCK_SIZE),
            "the stream is whole"
        );
        data_blocks += stream_len / frazil_format::BLOCK_SIZE;
        read.push((DiffId::from_bytes([0; 32]), stream_len, std::sync::Arc::new(entries)));
    }
    Ok((metadata::build(read)?.bytes, data_blocks))
}
