//! What must be true of any list of chunks: sorted by offset, without overlap, inside its address space, with
//! lengths that can be read and sealed lengths that sealing can give.

use crate::FormatError;
use crate::bounds::{MAX_CHUNK_LEN, SEALING_OVERHEAD};

/// Walks along a list of chunks.
#[derive(Clone, Debug)]
pub(crate) struct ChunkOrder {
    space: u64,
    number: u64,
    end_of_last: u64,
}

impl ChunkOrder {
    /// At the start of an address space of this many bytes.
    pub(crate) fn new(space: u64) -> Self {
        Self { space, number: 0, end_of_last: 0 }
    }

    /// Checks the next chunk and gives its end.
    pub(crate) fn check(&mut self, offset: u64, len: u32, sealed_len: u32) -> Result<u64, FormatError> {
        let bad = |problem| FormatError::BadChunk { number: self.number, offset, problem };
        if len == 0 || len > MAX_CHUNK_LEN {
            return Err(bad("its length is out of bounds"));
        }
        if sealed_len <= SEALING_OVERHEAD || sealed_len > len + SEALING_OVERHEAD {
            return Err(bad("its sealed length is out of bounds"));
        }
        if offset < self.end_of_last {
            return Err(bad("it does not lie behind the one before"));
        }
        let end = offset.checked_add(len.into()).filter(|&end| end <= self.space);
        self.end_of_last = end.ok_or_else(|| bad("it ends behind its address space"))?;
        self.number = self.number.saturating_add(1);
        Ok(self.end_of_last)
    }
}
