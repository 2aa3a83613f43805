//! From a blob's bytes to its archive's bytes: gzip of one or more members, zstd of one or more frames, or
//! neither.
//!
//! Invariant: the blob is read to its end, so its digest is proven. What follows a compressed archive must be
//! another member or frame; anything else is an error, as it is for Go.

use std::io::{BufRead, Read};

use bytes::{Bytes, BytesMut};
use flate2::bufread::MultiGzDecoder;

use super::pieces::{PIECE_BYTES, Piece};
use crate::ConvertError;
use crate::source::LayerCompression;

/// The largest zstd window, as a power of two: what zstd's own tools write and read unless told otherwise.
/// Each layer that is being read takes at most this much memory.
const MAX_ZSTD_WINDOW_LOG: u32 = 27;

/// Decompresses a blob and sends the pieces, then the end. Stops quietly when nobody takes them any more.
pub(super) fn decompress(compression: LayerCompression, blob: impl BufRead, send: impl FnMut(Piece) -> bool) {
    match compression {
        LayerCompression::None => pump(blob, send),
        LayerCompression::Gzip => pump(MultiGzDecoder::new(blob), send),
        LayerCompression::Zstd => match zstd_decoder(blob) {
            Ok(decoder) => pump(decoder, send),
            Err(error) => pump(Failed(Some(error)), send),
        },
    }
}

fn zstd_decoder<B: BufRead>(blob: B) -> std::io::Result<zstd::stream::read::Decoder<'static, B>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(blob)?;
    decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
    Ok(decoder)
}

/// A decompressor that could not be made.
struct Failed(Option<std::io::Error>);

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

fn pump(mut bytes: impl Read, mut send: impl FnMut(Piece) -> bool) {
    loop {
        let piece =
            read_piece(&mut bytes).map_err(|error| ConvertError::out_of(error, ConvertError::Decompress));
        let last = piece.as_ref().map_or(true, Bytes::is_empty);
        if !send(piece) || last {
            return;
        }
    }
}

/// The next piece, full but for the last one.
fn read_piece(bytes: &mut impl Read) -> std::io::Result<Bytes> {
    let mut piece = BytesMut::zeroed(PIECE_BYTES);
    let mut filled = 0;
    while let Some(free) = piece.get_mut(filled..).filter(|free| !free.is_empty()) {
        match bytes.read(free) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(filled);
    Ok(piece.freeze())
}
