//! The read path, top to bottom:
//!
//! 1. the range is cut into pieces: zeros that no chunk covers, and parts of chunks; where the chunk table has not come
//!    yet, it is waited for;
//! 2. a chunk that is decoded already answers at once ([`Image::try_with`] stops here);
//! 3. else its readers share one opening;
//! 4. which takes the sealed chunk that was fetched ahead, or shares the one fetch of it;
//! 5. a fetch asks the tier, within the deadline;
//! 6. the chunk is opened (decrypted, decompressed) on a thread that may take its time, not on the reactor: the reader's
//!    own, if that is a FUSE thread, which has the sealed chunk at once or goes away; or one that opens ahead of readers;
//! 7. it is kept decoded;
//! 8. every reader copies its part, and what reads front to back is fetched ahead of.
//!
//! A bad chunk fails the reads that need it and no other. Whoever reads goes before whatever is prefetched, and a
//! prefetch that fails is no reader's failure.

use std::cell::RefCell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use frazil_cache::Wanted;
use frazil_cache::resilience::{Priority, Urgency};
use frazil_format::{Chunk, SealedChunk, open_chunk};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tracing::{Instrument, debug_span};

use super::account::Provenance;
use super::chunk_cache::Worth;
use super::chunk_table::Piece;
use super::counters::add;
use super::coverage::Coverage;
use super::decoded::Opened;
use super::flights::Flight;
use super::prefetch::Source;
use super::{ChunkIndex, Image, READ_LEN_MAX, ReadError};
use crate::lent;

/// Chunks of one read that are fetched at the same time.
const CHUNKS_AT_ONCE_MAX: usize = 16;

/// Prefetches that a reader joins and that fail under it, before it fetches by itself.
const PREFETCHES_JOINED_MAX: usize = 2;

static ZEROS: [u8; READ_LEN_MAX] = [0; READ_LEN_MAX];

thread_local! {
    /// Where a read that spans chunks is put together on the fast path.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Image {
    /// Hands the bytes at `offset` to `use_bytes` if all their chunks are decoded: no waiting, no task, no
    /// allocation. `None` if one is not. Fewer than `len` bytes mean the end of the image.
    pub fn try_with<R>(&self, offset: u64, len: usize, use_bytes: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let mut pieces = self.table.pieces(offset, len)?;
        match (pieces.next(), pieces.next()) {
            (None, _) => Some(use_bytes(&[])),
            (Some(Piece::Zeros(len)), None) => Some(use_bytes(ZEROS.get(..len)?)),
            (Some(Piece::Chunk(index, within)), None) => {
                Some(use_bytes(self.at_hand(index, &within)?.bytes.get(within)?))
            }
            (Some(first), Some(second)) => SCRATCH.with_borrow_mut(|scratch| {
                scratch.clear();
                for piece in [first, second].into_iter().chain(pieces) {
                    match piece {
                        Piece::Zeros(len) => scratch.resize(scratch.len() + len, 0),
                        Piece::Chunk(index, within) => {
                            let chunk = self.at_hand(index, &within)?;
                            scratch.extend_from_slice(chunk.bytes.get(within)?);
                        }
                    }
                }
                Some(use_bytes(scratch))
            }),
        }
    }

    /// The bytes at `offset`, or `None` if they are not all decoded; the number of bytes put into `buffer`.
    pub fn try_read(&self, offset: u64, buffer: &mut [u8]) -> Option<usize> {
        self.try_with(offset, buffer.len(), |bytes| {
            buffer[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        })
    }

    /// The bytes at `offset`. Fewer than `len` bytes mean the end of the image.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if a chunk of the range cannot be fetched, verified or opened.
    pub async fn read(self: &Arc<Self>, offset: u64, len: usize) -> Result<Bytes, ReadError> {
        self.read_pieces(offset, len).instrument(debug_span!("image_read", offset, len)).await
    }

    async fn read_pieces(self: &Arc<Self>, offset: u64, len: usize) -> Result<Bytes, ReadError> {
        let pieces = self.pieces(offset, len).await?;
        if let [Piece::Chunk(index, within)] = pieces.as_slice() {
            return Ok(self.chunk(*index, within).await?.bytes.slice(within.clone()));
        }
        let len = pieces.iter().map(Piece::len).sum();
        let whole = BytesMut::with_capacity(len);
        stream::iter(pieces)
            .map(|piece| self.piece(piece))
            .buffered(CHUNKS_AT_ONCE_MAX)
            .try_fold(whole, |mut whole, (len, part)| async move {
                match part {
                    Some(part) => whole.extend_from_slice(&part),
                    None => whole.resize(whole.len() + len, 0),
                }
                Ok(whole)
            })
            .await
            .map(BytesMut::freeze)
    }

    /// The pieces of a range, as soon as it is known which chunks lie there.
    async fn pieces(&self, offset: u64, len: usize) -> Result<Vec<Piece>, ReadError> {
        if let Some(pieces) = self.table.pieces(offset, len) {
            return Ok(pieces.collect());
        }
        let started = Instant::now();
        let reached = self.table.reach(offset.saturating_add(len as u64), self.deadline).await;
        self.account.waited(offset, started.elapsed());
        reached?;
        self.table.pieces(offset, len).map(Iterator::collect).ok_or(ReadError::Stopped)
    }

    async fn piece(self: &Arc<Self>, piece: Piece) -> Result<(usize, Option<Bytes>), ReadError> {
        match piece {
            Piece::Zeros(len) => Ok((len, None)),
            Piece::Chunk(index, within) => {
                let chunk = self.chunk(index, &within).await?;
                Ok((within.len(), Some(chunk.bytes.slice(within))))
            }
        }
    }

    /// A chunk that is decoded already; this part of it is read.
    fn at_hand(&self, index: ChunkIndex, within: &Range<usize>) -> Option<Arc<Opened>> {
        let chunk = self.opened_already(index)?;
        self.touch(index);
        add(&self.tally.cache_hits, 1);
        self.served(index, &chunk, within);
        Some(chunk)
    }

    /// A chunk that is decoded, or that was opened ahead of its reader, which has come.
    fn opened_already(&self, index: ChunkIndex) -> Option<Arc<Opened>> {
        if let Some(chunk) = self.decoded.get(index) {
            return Some(chunk);
        }
        let chunk = self.opened_ahead.take(index)?;
        self.keep_decoded(index, &chunk);
        Some(chunk)
    }

    /// A chunk; this part of it is read.
    async fn chunk(
        self: &Arc<Self>,
        index: ChunkIndex,
        within: &Range<usize>,
    ) -> Result<Arc<Opened>, ReadError> {
        if let Some(chunk) = self.at_hand(index, within) {
            return Ok(chunk);
        }
        self.touch(index);
        // What is on its way, or kept here, is no news of where the program is.
        if self.is_missing(index) {
            self.look_beside(index);
        }
        let (started, _waiting) = (Instant::now(), self.prefetches.reader());
        let chunk = self.opened_for_reader(index).await;
        self.waited(index, within, started.elapsed());
        let chunk = chunk?;
        self.served(index, &chunk, within);
        Ok(chunk)
    }

    fn touch(&self, index: ChunkIndex) {
        // Before the mark is looked for: a prefetch that begins just now sees the one or leaves the other.
        let is_first = self.touches.touch(index);
        if self.marks.read(index, || self.table.sealed_len_of(index)) {
            self.no_longer_ahead(index);
        }
        if is_first && self.neighbours.read(index, self.table.sealed_len_of(index)) {
            self.look_beside(index);
        }
    }

    /// Has what lies beside this chunk fetched along with it, where a fetch takes a while and nothing else is
    /// known.
    fn look_beside(&self, index: ChunkIndex) {
        let (latency, guess_from) = (self.prefetches.free_latency(), self.guess_from);
        let is_far = latency.zip(guess_from).is_some_and(|(latency, from)| latency >= from);
        if !is_far || self.foretold.contains(index.as_usize()) {
            return;
        }
        let is_wanted = |beside| self.is_worth_fetching(beside, Source::Neighbour);
        let is_touched = |beside| self.touches.contains(beside);
        let beside = self.neighbours.of(index, &self.table, is_touched, is_wanted);
        if !beside.is_empty() {
            self.prefetch(beside, Source::Neighbour).detach();
        }
    }

    fn waited(&self, index: ChunkIndex, within: &Range<usize>, waited: Duration) {
        if let Some((chunk, _)) = self.table.get(index) {
            self.account.waited(chunk.offset.saturating_add(within.start as u64), waited);
        }
    }

    /// This part of a chunk is copied out: what was read whole need not be kept, and what comes next may be wanted.
    fn served(&self, index: ChunkIndex, chunk: &Opened, within: &Range<usize>) {
        self.account.read(&self.table, index, within);
        let read = chunk.coverage.read(within);
        if read.first {
            self.read_ahead_of(index);
        }
        if read.last {
            self.decoded.has_served(index);
            self.sealed.remove(index);
        }
    }

    fn read_ahead_of(&self, index: ChunkIndex) {
        if self.foretold.contains(index.as_usize()) {
            return;
        }
        let ahead = self.streams.touch(index, &self.table);
        if !ahead.is_empty() {
            self.prefetch(ahead.map(ChunkIndex::new), Source::ReadAhead).detach();
        }
    }

    /// A chunk for somebody who waits. An opening that was begun ahead may have been given up on too early.
    async fn opened_for_reader(self: &Arc<Self>, index: ChunkIndex) -> Result<Arc<Opened>, ReadError> {
        let demand = Urgency::new(Priority::Demand);
        for _ in 0..PREFETCHES_JOINED_MAX {
            let flight = self.open_once(index, &demand);
            let began = flight.began;
            match self.openings.land(flight).await {
                Err(_) if began == Priority::Prefetch => {}
                outcome => return outcome,
            }
        }
        Arc::clone(self).fly(index, demand).await
    }

    /// A chunk, opened as urgently as this.
    pub(super) async fn opened(
        self: &Arc<Self>,
        index: ChunkIndex,
        urgency: &Urgency,
    ) -> Result<Arc<Opened>, ReadError> {
        let flight = self.open_once(index, urgency);
        self.openings.land(flight).await
    }

    fn open_once(self: &Arc<Self>, index: ChunkIndex, urgency: &Urgency) -> Flight<Arc<Opened>> {
        self.openings.join(index, urgency, |urgency| {
            // The span belongs to whoever began: the others only wait.
            let span = debug_span!("flight", chunk = index.as_usize(), priority = ?urgency.priority());
            Arc::clone(self).fly(index, urgency).instrument(span).boxed()
        })
    }

    /// One opening: the sealed chunk, the chunk, and where both are kept.
    async fn fly(self: Arc<Self>, index: ChunkIndex, urgency: Urgency) -> Result<Arc<Opened>, ReadError> {
        // Whoever asked may have done so just before an earlier flight landed.
        if let Some(chunk) = self.opened_already(index) {
            return Ok(chunk);
        }
        let opened = match self.open_kept(index, &urgency).await {
            Some(opened) => opened,
            None => match self.fetched(index, &urgency).await {
                Ok(sealed) => self.open(index, sealed, &urgency).await,
                Err(error) => Err(error),
            },
        };
        match &opened {
            Ok(chunk) => self.keep_decoded(index, chunk),
            Err(_) => add(&self.tally.errors, 1),
        }
        opened
    }

    pub(super) fn keep_decoded(&self, index: ChunkIndex, chunk: &Arc<Opened>) {
        for gone in self.decoded.insert(index, Arc::clone(chunk)) {
            self.marks.evicted(gone);
        }
    }

    /// Opens a sealed chunk that is kept here, ahead of its reader; says whether it did. Nothing is fetched.
    pub(super) async fn open_ahead_of_reader(self: &Arc<Self>, index: ChunkIndex) -> bool {
        let flight = self.openings.join(index, &Urgency::new(Priority::Prefetch), |urgency| {
            let image = Arc::clone(self);
            async move {
                // A reader that joins and finds it damaged goes on alone.
                let opened = image.open_kept(index, &urgency).await.unwrap_or(Err(ReadError::Stopped))?;
                image.keep_opened_ahead(index, &opened);
                Ok(opened)
            }
            .boxed()
        });
        self.openings.land(flight).await.is_ok()
    }

    /// Opens the sealed chunk that is kept here, if there is one that opens.
    async fn open_kept(
        self: &Arc<Self>,
        index: ChunkIndex,
        urgency: &Urgency,
    ) -> Option<Result<Arc<Opened>, ReadError>> {
        let sealed = self.sealed.get(index)?;
        match self.open(index, sealed, urgency).await {
            Err(ReadError::Open { .. }) => {
                self.sealed.remove(index);
                None
            }
            opened => {
                self.sealed.has_served(index);
                self.prefetches.has_room();
                Some(opened)
            }
        }
    }

    /// The sealed chunk, fetched once for all who want it.
    pub(super) async fn fetched(
        self: &Arc<Self>,
        index: ChunkIndex,
        urgency: &Urgency,
    ) -> Result<SealedChunk, ReadError> {
        let Some((&chunk, _)) = self.table.get(index) else { return Err(ReadError::Stopped) };
        let fetch = |urgency| {
            let image = Arc::clone(self);
            async move {
                // Whoever asked may have done so just before an earlier flight landed.
                if let Some(sealed) = image.sealed.get(index) {
                    return Ok(sealed);
                }
                let sealed = image.fetch(index, chunk, urgency).await?;
                // Before the flight is over: a reader that comes then finds one or the other.
                image.keep_ahead(index, &sealed);
                Ok(sealed)
            }
            .in_current_span()
            .boxed()
        };
        let flight = self.fetches.join(index, urgency, fetch);
        let began = flight.began;
        match self.fetches.land(flight).await {
            // It was begun when nobody waited, and had only the patience of a fetch that nobody needs.
            Err(_) if began == Priority::Prefetch && urgency.priority() == Priority::Demand => {
                self.fetch(index, chunk, urgency.clone()).await
            }
            fetched => fetched,
        }
    }

    /// The sealed chunk, from the tier, within the deadline.
    async fn fetch(
        &self,
        index: ChunkIndex,
        chunk: Chunk,
        urgency: Urgency,
    ) -> Result<SealedChunk, ReadError> {
        let wanted = Wanted { root: self.root, id: chunk.id, sealed_len: chunk.sealed_len };
        add(&self.tally.requests, 1);
        let (started, began) = (Instant::now(), urgency.priority());
        let fetch = urgency.scope(self.tier.get(&wanted));
        let fetched = match tokio::time::timeout(self.deadline, fetch).await {
            Ok(Ok(served)) => Ok(served),
            Ok(Err(source)) => {
                Err(ReadError::Fetch { chunk: chunk.id, offset: chunk.offset, source: Arc::new(source) })
            }
            Err(_) => {
                Err(ReadError::Deadline { chunk: chunk.id, offset: chunk.offset, deadline: self.deadline })
            }
        };
        match &fetched {
            Ok(served) => {
                add(&self.tally.sealed_bytes, served.chunk.len() as u64);
                let (from, after) = (Provenance { level: served.by, priority: began }, started.elapsed());
                self.account.fetched(index, from, served.chunk.len(), after);
                self.prefetches.answered(began, served.by, after);
            }
            Err(_) => self.prefetches.failed(),
        }
        fetched.map(|served| served.chunk)
    }

    /// The chunk itself. About 400 µs of zstd for 512 KiB: too long for a reactor thread. The sealed bytes stay while
    /// there is room: a chunk that is read in parts may be pushed out in between.
    async fn open(
        self: &Arc<Self>,
        index: ChunkIndex,
        sealed: SealedChunk,
        urgency: &Urgency,
    ) -> Result<Arc<Opened>, ReadError> {
        let Some((&chunk, _)) = self.table.get(index) else { return Err(ReadError::Stopped) };
        let core = self.cores.take(urgency.clone()).await.map_err(|_| ReadError::Stopped)?;
        let image = Arc::clone(self);
        let opening = move || {
            let (_, key) = image.table.get(index)?;
            let opened = open_chunk(&sealed, key, chunk.len);
            drop(core);
            if opened.is_ok() && !image.sealed.contains(index) {
                image.keep_sealed(index, sealed, Worth::Spare);
            }
            Some(opened)
        };
        let opened = match lent::take(chunk.len) {
            // A panic in here would leave those who share this flight waiting for ever.
            true => catch_unwind(AssertUnwindSafe(opening)).map_err(drop),
            false => self.runtime.spawn_blocking(opening).await.map_err(drop),
        };
        match opened {
            Ok(Some(Ok(bytes))) => {
                add(&self.tally.decoded_bytes, bytes.len() as u64);
                let coverage = Coverage::new(bytes.len());
                Ok(Arc::new(Opened { bytes: bytes.into(), coverage }))
            }
            Ok(Some(Err(source))) => {
                Err(ReadError::Open { chunk: chunk.id, offset: chunk.offset, source: Arc::new(source) })
            }
            Ok(None) | Err(()) => Err(ReadError::Stopped),
        }
    }
}
