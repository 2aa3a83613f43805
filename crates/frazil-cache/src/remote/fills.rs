//! Shards on their way into the fleet, behind the readers' backs.
//!
//! The invariant: no more bytes wait than the queue's budget, no chunk waits twice, no more chunks are
//! written at once than allowed. What finds no room is dropped and counted: the next reader that misses tries
//! again.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frazil_format::{ChunkId, SealedChunk};
use futures::future::join_all;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::RemoteOptions;
use super::counts::Counters;
use super::fleet::Position;
use super::shard::Shard;
use crate::Wanted;

/// What a chunk takes of the budget at least, for the task that waits with it.
const MIN_FILL_BYTES: u32 = 64 << 10;

/// A chunk to write.
#[derive(Debug)]
pub(super) struct Fill {
    pub(super) wanted: Wanted,
    pub(super) chunk: SealedChunk,
    /// Where, and the index of the shard there.
    pub(super) shards: Vec<(Position, usize)>,
}

/// The way into the fleet.
#[derive(Clone, Debug)]
pub(super) struct Fills {
    counters: Arc<Counters>,
    /// Bytes that may still wait.
    room: Arc<Semaphore>,
    /// Chunks that may still be written at once.
    turns: Arc<Semaphore>,
    waiting: Arc<Waiting>,
}

#[derive(Default, Debug)]
struct Waiting {
    chunks: Mutex<HashSet<ChunkId>>,
    empty: Notify,
}

impl Fills {
    pub(super) fn new(options: &RemoteOptions, counters: Arc<Counters>) -> Self {
        Self {
            counters,
            room: Arc::new(Semaphore::new(options.fill_queue_bytes.min(Semaphore::MAX_PERMITS))),
            turns: Arc::new(Semaphore::new(options.fill_concurrency.max(1))),
            waiting: Arc::default(),
        }
    }

    /// Writes the chunk when its turn comes, if there is room for it to wait until then.
    pub(super) fn push(&self, fill: Fill) {
        let bytes = fill.wanted.sealed_len.max(MIN_FILL_BYTES);
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(bytes) else {
            self.counters.fill_drops.fetch_add(1, Relaxed);
            return;
        };
        let Some(ticket) = Ticket::take(&self.waiting, fill.wanted.id, room) else { return };
        tokio::spawn(self.clone().write(fill, ticket));
    }

    /// Waits until nothing is on its way.
    pub(super) async fn settled(&self) {
        loop {
            let empty = self.waiting.empty.notified();
            tokio::pin!(empty);
            empty.as_mut().enable();
            if self.waiting.chunks().is_empty() {
                return;
            }
            empty.await;
        }
    }

    async fn write(self, fill: Fill, ticket: Ticket) {
        let Ok(_turn) = self.turns.acquire().await else { return };
        let Fill { wanted, chunk, shards } = fill;
        let writes = shards.iter().map(|(position, index)| {
            let item = Shard::of(&chunk, *index).to_item(&wanted);
            position.node.set(position.key(&wanted), item)
        });
        let is_whole = join_all(writes).await.into_iter().all(|is_stored| is_stored);
        let counter = if is_whole { &self.counters.fills } else { &self.counters.fill_drops };
        counter.fetch_add(1, Relaxed);
        drop(ticket);
    }
}

/// A chunk's place in the queue, given back when it is dropped.
struct Ticket {
    waiting: Arc<Waiting>,
    id: ChunkId,
    _room: OwnedSemaphorePermit,
}

impl Ticket {
    /// A place, unless the chunk has one.
    fn take(waiting: &Arc<Waiting>, id: ChunkId, room: OwnedSemaphorePermit) -> Option<Self> {
        let is_new = waiting.chunks().insert(id);
        is_new.then(|| Self { waiting: Arc::clone(waiting), id, _room: room })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut chunks = self.waiting.chunks();
        chunks.remove(&self.id);
        if chunks.is_empty() {
            self.waiting.empty.notify_waiters();
        }
    }
}

impl Waiting {
    fn chunks(&self) -> MutexGuard<'_, HashSet<ChunkId>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
