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
    /// Chunks that are there and not sound, and so are replaced.
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
        // Others that have the same chunk wait until it is there: their layers' indexes refer to it next.
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

#[cfg(test)]
mod tests {
    use frazil_format::{Compression, Payload, ScopeSecret, Sealer};
    use futures::poll;
    use tokio::sync::Semaphore;

    use super::*;

    async fn sealed(offset: u64) -> Sealed {
        let sealer = Sealer::new(&ScopeSecret::from_bytes([1; 32]), RootId::FIRST);
        let sealed = sealer.seal(&Payload::compress(&[7; 5000], Compression::None)).unwrap();
        let (id, key, sealed_len) = (sealed.id, sealed.key, sealed.chunk.len() as u32);
        let chunk = StreamChunk { offset, len: 5000, sealed_len, id, key };
        let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        Sealed { chunk, bytes: sealed.chunk, _permit: permit }
    }

    #[tokio::test]
    async fn whoever_has_a_chunk_that_is_being_put_waits_until_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let location = frazil_store::StoreLocation::directory(directory.path()).unwrap();
        let store = Store::open_or_create(&location, &Default::default()).await.unwrap();
        let putter = ChunkPutter::new(store, RootId::FIRST, Arc::default());
        let (one, other) = (sealed(0).await, sealed(8192).await);
        let (mut first, mut second) = (Box::pin(putter.put(one)), Box::pin(putter.put(other)));
        assert!(poll!(&mut first).is_pending(), "the file is being written");
        assert!(poll!(&mut second).is_pending(), "and is not there before it has been");
        let (first, second) = futures::join!(first, second);
        assert_eq!((first.unwrap().offset, second.unwrap().offset), (0, 8192));
        assert_eq!((putter.new_chunks(), putter.shared_chunks()), (1, 1));
    }
}
