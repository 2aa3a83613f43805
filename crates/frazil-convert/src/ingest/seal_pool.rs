//! The pool that compresses and seals chunks, and the budget that bounds what is on its way.
//!
//! Invariant: the plaintext of chunks that were cut but are not in the store yet never exceeds
//! [`BUDGET_BYTES`], over all layers; whoever cuts faster than the store takes waits.

use std::sync::Arc;

use frazil_format::{Compression, Payload, SealedChunk, Sealer, StreamChunk};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ConvertError;
use crate::cut::Cut;

/// Plaintext bytes of chunks between cutting and the end of their put.
pub(crate) const BUDGET_BYTES: usize = 64 << 20;

/// A chunk that is sealed, but not in the store yet.
pub(super) struct Sealed {
    pub(super) chunk: StreamChunk,
    pub(super) bytes: SealedChunk,
    /// The chunk's part of the budget.
    pub(super) _permit: OwnedSemaphorePermit,
}

/// Where sealed chunks go. The queue needs no bound of its own: the budget is one.
pub(super) type SealedQueue = UnboundedSender<Result<Sealed, ConvertError>>;

/// Compresses and seals for one scope and root.
#[derive(Clone)]
pub(crate) struct SealPool {
    threads: Arc<rayon::ThreadPool>,
    budget: Arc<Semaphore>,
    sealer: Arc<Sealer>,
    compression: Compression,
    runtime: Handle,
}

impl SealPool {
    pub(crate) fn new(
        sealer: Sealer,
        compression: Compression,
        threads: usize,
        runtime: Handle,
    ) -> Result<Self, ConvertError> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|number| format!("frazil-seal-{number}"))
            .build()
            .map_err(|error| ConvertError::Thread(std::io::Error::other(error)))?;
        Ok(Self {
            threads: Arc::new(threads),
            budget: Arc::new(Semaphore::new(BUDGET_BYTES)),
            sealer: Arc::new(sealer),
            compression,
            runtime,
        })
    }

    /// Hands a chunk to the pool; blocks the thread while the budget is used up.
    pub(super) fn submit(&self, cut: Cut, queue: &SealedQueue) -> Result<(), ConvertError> {
        let cost = u32::try_from(cut.bytes.len()).unwrap_or(u32::MAX);
        let permit = self.runtime.block_on(Arc::clone(&self.budget).acquire_many_owned(cost));
        let permit = permit.map_err(|_| ConvertError::Stopped)?;
        if queue.is_closed() {
            return Err(ConvertError::Stopped);
        }
        let (pool, queue) = (self.clone(), queue.clone());
        self.threads.spawn(move || {
            // Nobody may be interested any more.
            if !queue.is_closed() {
                let _ = queue.send(pool.seal(&cut, permit));
            }
        });
        Ok(())
    }

    fn seal(&self, cut: &Cut, permit: OwnedSemaphorePermit) -> Result<Sealed, ConvertError> {
        let sealed = self.sealer.seal(&Payload::compress(&cut.bytes, self.compression))?;
        let len = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let chunk = StreamChunk {
            offset: cut.offset,
            len: len(cut.bytes.len()),
            sealed_len: len(sealed.chunk.len()),
            id: sealed.id,
            key: sealed.key,
        };
        Ok(Sealed { chunk, bytes: sealed.chunk, _permit: permit })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use frazil_format::{RootId, ScopeSecret};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_cuts_faster_than_chunks_are_taken_waits() {
        const CHUNK: usize = 1 << 20;
        const CHUNKS: usize = 3 * BUDGET_BYTES / CHUNK;
        let sealer = Sealer::new(&ScopeSecret::from_bytes([1; 32]), RootId::FIRST);
        let pool = SealPool::new(sealer, Compression::default(), 2, Handle::current()).unwrap();
        let (queue, mut sealed) = tokio::sync::mpsc::unbounded_channel();
        let submitted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&submitted);
        std::thread::spawn(move || {
            for number in 0..CHUNKS {
                let bytes = vec![number as u8; CHUNK].into();
                pool.submit(Cut { offset: (number * CHUNK) as u64, bytes }, &queue).unwrap();
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        let mut taken = 0;
        while let Some(chunk) = sealed.recv().await {
            // The chunk at hand still holds its part of the budget.
            assert!(submitted.load(Ordering::SeqCst) <= taken + BUDGET_BYTES / CHUNK);
            drop(chunk.unwrap());
            taken += 1;
        }
        assert_eq!(taken, CHUNKS);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_queue_that_nobody_reads_stops_who_cuts() {
        let sealer = Sealer::new(&ScopeSecret::from_bytes([1; 32]), RootId::FIRST);
        let pool = SealPool::new(sealer, Compression::None, 1, Handle::current()).unwrap();
        let (queue, sealed) = tokio::sync::mpsc::unbounded_channel();
        drop(sealed);
        let cut = move || pool.submit(Cut { offset: 0, bytes: vec![0; 9].into() }, &queue);
        let outcome = tokio::task::spawn_blocking(cut).await.unwrap();
        assert!(matches!(outcome, Err(ConvertError::Stopped)));
    }
}
