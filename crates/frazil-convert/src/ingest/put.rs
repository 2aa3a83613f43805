//! Sealed chunks into the store, many at once, each only once per conversion.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use frazil_format::{ChunkId, RootId, SealedChunk, StreamChunk};
use frazil_store::{Put, Store};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;
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
    /// Each chunk of this conversion, done when it is in the store.
    seen: Mutex<HashMap<ChunkId, Arc<OnceCell<()>>>>,
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
        let is_there = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(seen.entry(chunk.id).or_default())
        };
        // Whoever has the same chunk waits until it is there: its layer's index refers to it next.
        let mut put = Put::Present;
        let there = is_there.get_or_try_init(|| async {
            put = self.put_first(&chunk.id, &bytes).await?;
            Ok::<_, ConvertError>(())
        });
        there.await?;
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

    async fn put_first(&self, id: &ChunkId, bytes: &SealedChunk) -> Result<Put, ConvertError> {
        if self.distrusted.contains(id) {
            self.store.replace_chunk(self.root, id, bytes).await?;
            return Ok(Put::New);
        }
        Ok(self.store.put_chunk(self.root, id, bytes).await?)
    }
}
