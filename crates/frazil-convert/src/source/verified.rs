//! A reader that counts and hashes what passes, and does not end well unless the bytes are the promised ones.
//!
//! Invariant: a consumer that saw the end of the stream without an error, or whose `finish` succeeded, has
//! been given exactly the bytes of the digest. Whoever stops early (a tar reader does, at the archive's end
//! marker) must call `finish`, which reads the rest; otherwise nothing has been proven.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, ReadBuf};

use super::{Digest, LayerDescriptor};

const DRAIN_BUFFER_BYTES: usize = 64 << 10;

/// How a blob differs from what its descriptor promised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The stream ended before its size was reached.
    #[error("{actual} bytes instead of {expected}")]
    Short {
        /// The promised size in bytes.
        expected: u64,
        /// The bytes that came.
        actual: u64,
    },
    /// The stream goes on after its size.
    #[error("more than the promised {expected} bytes")]
    Long {
        /// The promised size in bytes.
        expected: u64,
    },
    /// The bytes hash to something else.
    #[error("the digest is {actual} instead of {expected}")]
    Digest {
        /// The promised digest.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
}

impl From<VerifyError> for io::Error {
    fn from(error: VerifyError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// A reader, synchronous or asynchronous, whose bytes are checked against a size and a digest.
#[must_use = "a stream is verified only when its end was reached or `finish` succeeded"]
pub struct Verified<R> {
    inner: R,
    check: Check,
}

/// The running check, apart from where bytes come from.
struct Check {
    hasher: Sha256,
    digest: Option<Digest>,
    size: Option<u64>,
    seen: u64,
    ended: bool,
    failed: Option<VerifyError>,
}

impl<R> Verified<R> {
    /// Checks `inner` against what is known: with neither digest nor size, only end and errors pass through.
    pub fn new(inner: R, digest: Option<Digest>, size: Option<u64>) -> Self {
        let check = Check { hasher: Sha256::new(), digest, size, seen: 0, ended: false, failed: None };
        Self { inner, check }
    }

    /// Checks a layer's raw blob against its descriptor.
    pub fn layer(inner: R, layer: &LayerDescriptor) -> Self {
        Self::new(inner, layer.digest, layer.size)
    }
}

impl<R: Read> Verified<R> {
    /// Reads what the consumer left, and proves the whole.
    pub fn finish(mut self) -> io::Result<()> {
        let mut buffer = vec![0; DRAIN_BUFFER_BYTES];
        while self.read(&mut buffer)? > 0 {}
        Ok(())
    }
}

impl Check {
    /// Takes the next bytes; none mean the end. A failure is final: every later call fails again.
    fn take(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let result = if bytes.is_empty() { self.end() } else { self.more(bytes) };
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    fn more(&mut self, bytes: &[u8]) -> Result<(), VerifyError> {
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        match self.size {
            Some(expected) if self.seen > expected => Err(VerifyError::Long { expected }),
            _ => {
                if self.digest.is_some() {
                    self.hasher.update(bytes);
                }
                Ok(())
            }
        }
    }

    fn end(&mut self) -> Result<(), VerifyError> {
        if self.ended {
            return Ok(());
        }
        if let Some(expected) = self.size.filter(|expected| *expected != self.seen) {
            return Err(VerifyError::Short { expected, actual: self.seen });
        }
        if let Some(expected) = self.digest {
            let actual = Digest::from_bytes(self.hasher.finalize_reset().into());
            if actual != expected {
                return Err(VerifyError::Digest { expected, actual });
            }
        }
        self.ended = true;
        Ok(())
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        self.check.take(buffer.get(..count).unwrap_or_default())?;
        Ok(count)
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Verified<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
        let taken = this.check.take(buffer.filled().get(before..).unwrap_or_default());
        if taken.is_err() {
            // Bytes past a failure are no one's to use.
            buffer.set_filled(before);
        }
        Poll::Ready(taken.map_err(Into::into))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &[u8] = b"the river is still freezing";

    fn verified(data: &[u8], size: u64) -> Verified<&[u8]> {
        Verified::new(data, Some(Digest::of(DATA)), Some(size))
    }

    fn verify_error(error: &io::Error) -> &VerifyError {
        error.get_ref().and_then(|source| source.downcast_ref()).unwrap()
    }

    #[test]
    fn honest_bytes_pass_and_end() {
        let mut reader = verified(DATA, DATA.len() as u64);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, DATA);
        reader.finish().unwrap();
    }

    #[test]
    fn a_consumer_that_stops_early_learns_the_truth_from_finish() {
        let mut lie = DATA.to_vec();
        *lie.last_mut().unwrap() ^= 1;
        let mut reader = verified(&lie, DATA.len() as u64);
        reader.read_exact(&mut [0; 4]).unwrap();
        let error = reader.finish().unwrap_err();
        assert!(matches!(verify_error(&error), VerifyError::Digest { .. }));

        let mut honest = verified(DATA, DATA.len() as u64);
        honest.read_exact(&mut [0; 4]).unwrap();
        honest.finish().unwrap();
    }

    #[tokio::test]
    async fn short_and_long_streams_fail_however_they_are_read() {
        let size = DATA.len() as u64;
        let error = verified(&DATA[..5], size).finish().unwrap_err();
        assert_eq!(verify_error(&error), &VerifyError::Short { expected: size, actual: 5 });
        let error =
            tokio::io::AsyncReadExt::read_to_end(&mut verified(DATA, 5), &mut Vec::new()).await.unwrap_err();
        assert_eq!(verify_error(&error), &VerifyError::Long { expected: 5 });
    }

    #[test]
    fn a_failure_is_final() {
        let mut reader = verified(DATA, 5);
        assert!(reader.read(&mut [0; 16]).is_err());
        assert!(reader.read(&mut [0; 16]).is_err());
        assert!(reader.finish().is_err());
    }
}
