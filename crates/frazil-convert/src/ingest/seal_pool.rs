//! The pool that compresses and seals chunks, and the budget that bounds what is on its way.
//!
//! Invariant: the plaintext of chunks that were cut but are not in the store yet never exceeds
//! [`BUDGET_BYTES`], over all layers; a layer that cuts faster than the store takes has to wait.

use std::sync::Arc;

use frazil_format::{Payload, SealedChunk, StreamChunk};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ConvertError;
use crate::cut::Cut;
use crate::keys::Sealing;

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

/// Compresses and seals, whatever the scope.
#[derive(Clone)]
pub(crate) struct SealPool {
    threads: Arc<rayon::ThreadPool>,
    budget: Arc<Semaphore>,
    runtime: Handle,
}

/// The pool, working for one stream.
#[derive(Clone)]
pub(crate) struct StreamSealer {
    pool: SealPool,
    sealing: Sealing,
}

impl SealPool {
    pub(crate) fn new(threads: usize, runtime: Handle) -> Result<Self, ConvertError> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|number| format!("frazil-seal-{number}"))
            .build()
            .map_err(|error| ConvertError::Thread(std::io::Error::other(error)))?;
        Ok(Self { threads: Arc::new(threads), budget: Arc::new(Semaphore::new(BUDGET_BYTES)), runtime })
    }

    /// The pool, for a stream that is sealed like this.
    pub(crate) fn sealing(&self, sealing: &Sealing) -> StreamSealer {
        StreamSealer { pool: self.clone(), sealing: sealing.clone() }
    }
}

impl StreamSealer {
    /// Hands a chunk to the pool; blocks the thread while the budget is used up.
    pub(super) fn submit(&self, cut: Cut, queue: &SealedQueue) -> Result<(), ConvertError> {
        let cost = u32::try_from(cut.bytes.len()).unwrap_or(u32::MAX);
        let permit = self.pool.runtime.block_on(Arc::clone(&self.pool.budget).acquire_many_owned(cost));
        let permit = permit.map_err(|_| ConvertError::Stopped)?;
        if queue.is_closed() {
            return Err(ConvertError::Stopped);
        }
        let (sealing, queue) = (self.sealing.clone(), queue.clone());
        self.pool.threads.spawn(move || {
            // Nobody may be interested any more.
            if !queue.is_closed() {
                let _ = queue.send(seal(&sealing, &cut, permit));
            }
        });
        Ok(())
    }
}

fn seal(sealing: &Sealing, cut: &Cut, permit: OwnedSemaphorePermit) -> Result<Sealed, ConvertError> {
    let sealed = sealing.sealer.seal(&Payload::compress(&cut.bytes, sealing.compression))?;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use frazil_format::{Compression, RootId, ScopeSecret, Sealer};

    use super::*;

    fn stream_sealer(compression: Compression, threads: usize) -> StreamSealer {
        let secret = ScopeSecret::from_bytes([1; 32]);
        let sealer = Arc::new(Sealer::new(&secret, RootId::FIRST));
        let sealing = Sealing { scope: secret.id(), sealer, compression };
        SealPool::new(threads, Handle::current()).unwrap().sealing(&sealing)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_cuts_faster_than_chunks_are_taken_waits() {
        const CHUNK: usize = 1 << 20;
        const CHUNKS: usize = 3 * BUDGET_BYTES / CHUNK;
        let pool = stream_sealer(Compression::default(), 2);
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
        let pool = stream_sealer(Compression::None, 1);
        let (queue, sealed) = tokio::sync::mpsc::unbounded_channel();
        drop(sealed);
        let cut = move || pool.submit(Cut { offset: 0, bytes: vec![0; 9].into() }, &queue);
        let outcome = tokio::task::spawn_blocking(cut).await.unwrap();
        assert!(matches!(outcome, Err(ConvertError::Stopped)));
    }
}
