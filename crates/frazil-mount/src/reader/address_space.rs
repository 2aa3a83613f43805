//! What a face serves: bytes at offsets. An image is one; so are the zeros of the benchmark, which makes "the same
//! path" more than a phrase.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::ReadError;

/// No face asks for more at once: the kernel's own limit for one FUSE request.
pub(crate) const READ_LEN_MAX: usize = 1 << 20;

/// A read-only run of bytes that a face can serve.
pub trait AddressSpace: Send + Sync + 'static {
    /// The length in bytes.
    fn len(&self) -> u64;

    /// Whether there is no byte at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands the bytes at `offset` to `sink` if they are at hand, without waiting and without allocating, and
    /// says whether it did. Fewer than `len` bytes mean the end of the space.
    fn try_read(&self, offset: u64, len: usize, sink: &mut dyn FnMut(&[u8])) -> bool;

    /// The bytes at `offset`, however long they take. Fewer than `len` bytes mean the end of the space.
    fn read(self: Arc<Self>, offset: u64, len: usize) -> BoxFuture<'static, Result<Bytes, ReadError>>;

    /// Told of a read at `offset` that failed, once it has been answered.
    fn failed(self: Arc<Self>, offset: u64, error: ReadError) {
        tracing::error!(%error, offset, "a read failed");
    }
}
