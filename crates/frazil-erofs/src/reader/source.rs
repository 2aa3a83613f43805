//! Where an image's bytes come from: the caller's source, with the caller's errors.

use crate::error::ErofsError;

/// A source of an image's bytes, such as a slice, a file, or a cache that fetches.
pub trait ReadAt {
    /// Why bytes could not be read; "not yet, fetch this range first" is one such reason.
    type Error;

    /// Fills `buf` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// The source's own; what `buf` then holds does not matter.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error>;
}

impl<R: ReadAt + ?Sized> ReadAt for &R {
    type Error = R::Error;

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        (**self).read_at(offset, buf)
    }
}

/// A read past the end of a slice.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("{len} bytes at offset {offset} are beyond the end of the bytes at hand")]
pub struct OutOfRange {
    /// Byte offset.
    pub offset: u64,
    /// Bytes asked for.
    pub len: usize,
}

impl ReadAt for [u8] {
    type Error = OutOfRange;

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), OutOfRange> {
        let out_of_range = OutOfRange { offset, len: buf.len() };
        let start = usize::try_from(offset).map_err(|_| out_of_range)?;
        let end = start.checked_add(buf.len()).ok_or(out_of_range)?;
        buf.copy_from_slice(self.get(start..end).ok_or(out_of_range)?);
        Ok(())
    }
}

/// Why an operation on an image failed: its source, or the image itself.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum ReadError<E> {
    /// The source had no answer; asking again may help.
    #[error(transparent)]
    Source(E),
    /// The image is corrupt, unsupported, or not what the operation needs; asking again will not help.
    #[error(transparent)]
    Image(#[from] ErofsError),
}
