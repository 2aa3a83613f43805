//! Sealed chunks into the store, many at once, each only once per conversion.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use frazil_format::{ChunkId, RootId, StreamChunk};
use frazil_store::{Put, Store};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc::UnboundedReceiver;

use super::seal_pool::Sealed;
use crate::ConvertError;

/// Puts that one layer has under way at once.
const CONCURRENT_PUTS: usize = 16;

/// Puts chunks and counts them.
#[derive(Debug)]
pub(crate) struct ChunkPutter {
    store: Store,
    root: RootId,
    /// What is there and not sound, and so is replaced.
    distrusted: Arc<HashSet<ChunkId>>,
    seen: Mutex<HashSet<ChunkId>>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    new: AtomicU64,
    shared: AtomicU64,
    bytes: AtomicU64,
}

impl ChunkPutter {
    pub(crate) fn new(store: Store, root: RootId, distrusted: Arc<HashSet<ChunkId>>) -> Self {
        Self { store, root, distrusted, seen: Mutex::default(), counts: Counts::default() }
    }

    /// Chunks that were written.
    pub(crate) fn new_chunks(&self) -> u64 {
        self.counts.new.load(Ordering::Relaxed)
    }

    /// Chunks that were there.
    pub(crate) fn shared_chunks(&self) -> u64 {
        self.counts.shared.load(Ordering::Relaxed)
    }

    /// Sealed bytes that were written.
    pub(crate) fn bytes_written(&self) -> u64 {
        self.counts.bytes.load(Ordering::Relaxed)
    }

    /// Puts everything that comes out of a queue; the chunks by their offset.
    pub(super) async fn put_all(
        &self,
        mut queue: UnboundedReceiver<Result<Sealed, ConvertError>>,
    ) -> Result<Vec<StreamChunk>, ConvertError> {
        let sealed = stream::poll_fn(move |cx| queue.poll_recv(cx));
        let puts = sealed.map(|sealed| async { self.put(sealed?).await });
        let mut chunks: Vec<StreamChunk> = puts.buffer_unordered(CONCURRENT_PUTS).try_collect().await?;
        chunks.sort_unstable_by_key(|chunk| chunk.offset);
        Ok(chunks)
    }

    async fn put(&self, sealed: Sealed) -> Result<StreamChunk, ConvertError> {
        let Sealed { chunk, bytes, _permit } = sealed;
        let first = self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(chunk.id);
        // If the first put of the same chunk fails, so does the conversion.
        let put = match first {
            true if self.distrusted.contains(&chunk.id) => {
                self.store.replace_chunk(self.root, &chunk.id, &bytes).await?;
                Put::New
            }
            true => self.store.put_chunk(self.root, &chunk.id, &bytes).await?,
            false => Put::Present,
        };
        match put {
            Put::New => {
                self.counts.new.fetch_add(1, Ordering::Relaxed);
                self.counts.bytes.fetch_add(chunk.sealed_len.into(), Ordering::Relaxed);
            }
            Put::Present => {
                self.counts.shared.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(chunk)
    }
}
