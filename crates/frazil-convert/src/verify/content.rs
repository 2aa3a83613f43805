//! The content of a layer's files as their hashes, read without cutting or storing anything.

use std::collections::HashMap;
use std::sync::Arc;

use frazil_format::BLOCK_SIZE;
use sha2::{Digest as _, Sha256};

use crate::ConvertError;
use crate::archive::Sink;
use crate::ingest::{Allowance, FileSink};

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// The SHA-256 of a file's content.
pub(super) type ContentHash = [u8; 32];

/// Hashes the files of one layer, and knows where each would start in the layer stream.
pub(super) struct ContentHasher {
    /// What the files of all layers may come to, holes included.
    allowance: Arc<Allowance>,
    /// The length of the layer stream so far, in bytes.
    pub(super) stream_len: u64,
    /// By the file's offset in the layer stream; empty files have none.
    pub(super) hashes: HashMap<u64, ContentHash>,
    start: u64,
    hasher: Sha256,
}

impl ContentHasher {
    pub(super) fn new(allowance: Arc<Allowance>) -> Self {
        let (hashes, hasher) = (HashMap::new(), Sha256::default());
        Self { allowance, stream_len: 0, hashes, start: 0, hasher }
    }
}

impl Sink for ContentHasher {
    type Error = ConvertError;

    fn data(&mut self, bytes: &[u8]) -> Result<(), ConvertError> {
        self.allowance.take(bytes.len() as u64)?;
        self.hasher.update(bytes);
        self.stream_len += bytes.len() as u64;
        Ok(())
    }

    fn zeros(&mut self, len: u64) -> Result<(), ConvertError> {
        let mut left = len;
        while left > 0 {
            let some = ZEROS.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(&ZEROS);
            self.data(some)?;
            left -= some.len() as u64;
        }
        Ok(())
    }
}

impl FileSink for ContentHasher {
    fn start_file(&mut self, _: &[u8], _: u64) -> Result<u64, ConvertError> {
        self.start = self.stream_len;
        Ok(self.start)
    }

    fn end_file(&mut self) -> Result<(), ConvertError> {
        let hash = self.hasher.finalize_reset().into();
        if self.stream_len > self.start {
            self.hashes.insert(self.start, hash);
        }
        self.stream_len = self.stream_len.next_multiple_of(BLOCK_SIZE);
        Ok(())
    }
}
