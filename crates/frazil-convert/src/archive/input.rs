//! An archive's bytes in the portions that its format asks for, and how far they were read.

use std::io::{self, BufRead};

use super::ArchiveError;
use super::header::RECORD_BYTES;

/// A source of bytes with a position.
pub(super) struct Input<R> {
    bytes: R,
    offset: u64,
}

impl<R: BufRead> Input<R> {
    pub(super) fn new(bytes: R) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Bytes that were taken.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn into_inner(self) -> R {
        self.bytes
    }

    /// The next record, or none at the end of the bytes.
    pub(super) fn record(&mut self) -> Result<Option<[u8; RECORD_BYTES]>, ArchiveError> {
        let mut record = [0; RECORD_BYTES];
        let mut filled = 0;
        self.take(RECORD_BYTES as u64, |bytes| -> Result<(), ArchiveError> {
            if let Some(free) = record.get_mut(filled..filled + bytes.len()) {
                free.copy_from_slice(bytes);
            }
            filled += bytes.len();
            Ok(())
        })?;
        match filled {
            RECORD_BYTES => Ok(Some(record)),
            0 => Ok(None),
            _ => Err(self.truncated()),
        }
    }

    /// Gives exactly `len` bytes to `each`, in slices as they come.
    pub(super) fn copy<E: From<ArchiveError>>(
        &mut self,
        len: u64,
        each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.take(len, each)? == len { Ok(()) } else { Err(self.truncated().into()) }
    }

    /// Passes over up to `len` bytes; says how many there were.
    pub(super) fn skip(&mut self, len: u64) -> Result<u64, ArchiveError> {
        self.take(len, |_| Ok(()))
    }

    fn take<E: From<ArchiveError>>(
        &mut self,
        len: u64,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut left = len;
        while left > 0 {
            let offset = self.offset;
            let available = match self.bytes.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(ArchiveError::Read { offset, source }.into()),
            };
            let count = available.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let Some(slice) = available.get(..count).filter(|slice| !slice.is_empty()) else { break };
            each(slice)?;
            self.bytes.consume(count);
            self.offset += count as u64;
            left -= count as u64;
        }
        Ok(len - left)
    }

    pub(super) fn truncated(&self) -> ArchiveError {
        ArchiveError::Truncated { offset: self.offset }
    }
}
