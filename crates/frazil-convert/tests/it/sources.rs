//! Sources that count what is taken from them, and sources that stop in the middle.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use frazil_convert::source::{BlobStream, LayerDescriptor, Platform, ResolvedImage, Source, SourceError};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;

/// What happens to a blob when its bytes have been given out as far as they may.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing comes any more, for ever.
    Hang,
    /// The connection breaks.
    Fail,
}

/// Another source, counted and possibly cut short.
pub(crate) struct Watched {
    inner: Box<dyn Source>,
    pub(crate) seen: Arc<Seen>,
    limit: u64,
    then: Then,
    /// The only layer that stops; all of them if none.
    only: Option<usize>,
}

/// What was taken.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) layers: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Told when the limit was reached.
    pub(crate) stopped: Notify,
}

impl Watched {
    pub(crate) fn new(inner: Box<dyn Source>) -> Self {
        Self { inner, seen: Arc::default(), limit: u64::MAX, then: Then::Fail, only: None }
    }

    /// All blobs together give out that many bytes.
    pub(crate) fn stopping(inner: Box<dyn Source>, limit: u64, then: Then) -> Self {
        Self { limit, then, ..Self::new(inner) }
    }

    /// One layer's blob hangs once all of them have given out that many bytes; the others go on.
    pub(crate) fn hanging_in(inner: Box<dyn Source>, layer: usize, limit: u64) -> Self {
        Self { only: Some(layer), ..Self::stopping(inner, limit, Then::Hang) }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.seen.bytes.load(Ordering::SeqCst)
    }

    pub(crate) fn layers(&self) -> u64 {
        self.seen.layers.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Source for Watched {
    async fn resolve(&self, platform: &Platform) -> Result<ResolvedImage, SourceError> {
        self.inner.resolve(platform).await
    }

    async fn layer(&self, layer: &LayerDescriptor) -> Result<BlobStream, SourceError> {
        self.seen.layers.fetch_add(1, Ordering::SeqCst);
        let inner = self.inner.layer(layer).await?;
        let stops = self.only.is_none_or(|only| only == layer.index);
        let limit = if stops { self.limit } else { u64::MAX };
        Ok(Box::new(Blob { inner, seen: Arc::clone(&self.seen), limit, then: self.then }))
    }
}

struct Blob {
    inner: BlobStream,
    seen: Arc<Seen>,
    limit: u64,
    then: Then,
}

impl AsyncRead for Blob {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let left = self.limit - self.seen.bytes.load(Ordering::SeqCst).min(self.limit);
        if left == 0 {
            self.seen.stopped.notify_one();
            return match self.then {
                Then::Hang => Poll::Pending,
                Then::Fail => Poll::Ready(Err(std::io::Error::other("the connection broke"))),
            };
        }
        let mut part = buffer.take(usize::try_from(left).unwrap_or(usize::MAX).min(64 << 10));
        let polled = Pin::new(&mut self.inner).poll_read(cx, &mut part);
        let count = part.filled().len();
        // SAFETY: the inner reader has initialised what it says it has filled; it is the same memory.
        unsafe { buffer.assume_init(count) };
        buffer.advance(count);
        self.seen.bytes.fetch_add(count as u64, Ordering::SeqCst);
        polled
    }
}
