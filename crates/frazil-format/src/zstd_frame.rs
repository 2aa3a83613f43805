//! One zstd frame of known length at a time, with one compression and one decompression context per thread:
//! making a context costs as much as compressing a small chunk.
//!
//! Invariant: nothing is allocated for a frame before its announced length is known to be the expected one.

use std::cell::RefCell;
use std::io::Cursor;

use zstd::zstd_safe::{CCtx, DCtx, find_frame_compressed_size, get_frame_content_size};

use crate::FormatError;

thread_local! {
    static COMPRESSION: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSION: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
}

/// The frame did not fit into the room that it was given, or there was no memory.
#[derive(Debug)]
pub(crate) struct DoesNotFit;

/// Appends a frame to a buffer without growing it beyond its capacity.
pub(crate) fn append(buffer: &mut Vec<u8>, plain: &[u8], level: i32) -> Result<(), DoesNotFit> {
    COMPRESSION.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            None => context.insert(CCtx::try_create().ok_or(DoesNotFit)?),
        };
        let mut behind = Cursor::new(&mut *buffer);
        behind.set_position(behind.get_ref().len() as u64);
        context.compress(&mut behind, plain, level).map(drop).map_err(|_| DoesNotFit)
    })
}

/// The content of a buffer that is exactly one frame of exactly `len` bytes.
pub(crate) fn decode(frame: &[u8], len: usize, what: &'static str) -> Result<Vec<u8>, FormatError> {
    let damaged = || FormatError::NotDecompressible { what };
    let found = get_frame_content_size(frame).ok().flatten().ok_or_else(damaged)?;
    if found != len as u64 {
        return Err(FormatError::WrongPlainLength { what, expected: len as u64, found });
    }
    if find_frame_compressed_size(frame) != Ok(frame.len()) {
        return Err(damaged());
    }
    let mut plain = Vec::with_capacity(len);
    DECOMPRESSION.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            None => context.insert(DCtx::try_create().ok_or_else(damaged)?),
        };
        context.decompress(&mut plain, frame).map_err(|_| damaged())
    })?;
    if plain.len() == len { Ok(plain) } else { Err(damaged()) }
}
