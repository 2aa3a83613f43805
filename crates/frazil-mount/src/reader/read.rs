//! The read path, top to bottom:
//!
//! 1. the range is cut into pieces: zeros that no chunk covers, and parts of chunks;
//! 2. a chunk that is decoded already answers at once ([`Image::try_with`] stops here);
//! 3. else its readers share one flight;
//! 4. the flight asks the tier for the sealed chunk, within the deadline;
//! 5. opens it (decrypts, decompresses) on a thread that may take its time, not on the reactor;
//! 6. keeps it decoded;
//! 7. and every reader copies its part.
//!
//! A bad chunk fails the reads that need it and no other.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use frazil_cache::Wanted;
use frazil_format::{Chunk, SealedChunk, open_chunk};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};

use super::chunk_table::Piece;
use super::counters::add;
use super::{ChunkIndex, Image, READ_LEN_MAX, ReadError};

/// Chunks of one read that are fetched at the same time.
const CHUNKS_AT_ONCE_MAX: usize = 16;

static ZEROS: [u8; READ_LEN_MAX] = [0; READ_LEN_MAX];

thread_local! {
    /// Where a read that spans chunks is put together on the fast path.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Image {
    /// Hands the bytes at `offset` to `use_bytes` if all their chunks are decoded: no waiting, no task, no
    /// allocation. `None` if one is not. Fewer than `len` bytes mean the end of the image.
    pub fn try_with<R>(&self, offset: u64, len: usize, use_bytes: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let mut pieces = self.table.pieces(offset, len);
        match (pieces.next(), pieces.next()) {
            (None, _) => Some(use_bytes(&[])),
            (Some(Piece::Zeros(len)), None) => Some(use_bytes(ZEROS.get(..len)?)),
            (Some(Piece::Chunk(index, within)), None) => Some(use_bytes(self.at_hand(index)?.get(within)?)),
            (Some(first), Some(second)) => SCRATCH.with_borrow_mut(|scratch| {
                scratch.clear();
                for piece in [first, second].into_iter().chain(pieces) {
                    match piece {
                        Piece::Zeros(len) => scratch.resize(scratch.len() + len, 0),
                        Piece::Chunk(index, within) => {
                            scratch.extend_from_slice(self.at_hand(index)?.get(within)?);
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
        let pieces: Vec<Piece> = self.table.pieces(offset, len).collect();
        if let [Piece::Chunk(index, within)] = pieces.as_slice() {
            return Ok(self.chunk(*index).await?.slice(within.clone()));
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

    /// Fetches and decodes the chunk behind `index` if it is not there yet; nobody waits and nothing counts as
    /// touched.
    pub(super) fn read_ahead(self: &Arc<Self>, index: ChunkIndex) {
        if self.table.get(index).is_none() || self.decoded.contains(index) {
            return;
        }
        let image = Arc::clone(self);
        self.runtime.spawn(async move {
            let flight = image.flights.join(index, || Arc::clone(&image).fly(index).boxed());
            // A failure is told to the reader that needs the chunk, if one ever does.
            let _ = image.flights.land(flight).await;
        });
    }

    async fn piece(self: &Arc<Self>, piece: Piece) -> Result<(usize, Option<Bytes>), ReadError> {
        match piece {
            Piece::Zeros(len) => Ok((len, None)),
            Piece::Chunk(index, within) => Ok((within.len(), Some(self.chunk(index).await?.slice(within)))),
        }
    }

    /// A chunk that is decoded already.
    fn at_hand(&self, index: ChunkIndex) -> Option<Bytes> {
        let chunk = self.decoded.get(index)?;
        self.touches.touch(index);
        add(&self.tally.cache_hits, 1);
        Some(chunk)
    }

    async fn chunk(self: &Arc<Self>, index: ChunkIndex) -> Result<Bytes, ReadError> {
        if let Some(chunk) = self.at_hand(index) {
            return Ok(chunk);
        }
        self.touches.touch(index);
        self.read_ahead_of_metadata(index);
        let flight = self.flights.join(index, || Arc::clone(self).fly(index).boxed());
        self.flights.land(flight).await
    }

    /// The metadata area is walked front to back more often than not, and a tree cannot be shown without it.
    fn read_ahead_of_metadata(self: &Arc<Self>, index: ChunkIndex) {
        let next = index.following();
        if self.table.get(next).is_some_and(|(chunk, _)| chunk.offset < self.geometry.metadata_len) {
            self.read_ahead(next);
        }
    }

    /// One flight: fetch, open, keep.
    async fn fly(self: Arc<Self>, index: ChunkIndex) -> Result<Bytes, ReadError> {
        // Whoever asked may have done so just before an earlier flight landed.
        if let Some(chunk) = self.decoded.get(index) {
            return Ok(chunk);
        }
        let Some((&chunk, _)) = self.table.get(index) else { return Err(ReadError::Stopped) };
        let outcome = match self.fetch(&chunk).await {
            Ok(sealed) => self.open(index, chunk, sealed).await,
            Err(error) => Err(error),
        };
        match &outcome {
            Ok(decoded) => {
                add(&self.tally.decoded_bytes, decoded.len() as u64);
                self.decoded.insert(index, decoded.clone());
            }
            Err(_) => add(&self.tally.errors, 1),
        }
        outcome
    }

    /// The sealed chunk, from the tier, within the deadline.
    async fn fetch(&self, chunk: &Chunk) -> Result<SealedChunk, ReadError> {
        let wanted = Wanted { root: self.root, id: chunk.id, sealed_len: chunk.sealed_len };
        add(&self.tally.requests, 1);
        let served = tokio::time::timeout(self.deadline, self.tier.get(&wanted))
            .await
            .map_err(|_| ReadError::Deadline {
                chunk: chunk.id,
                offset: chunk.offset,
                deadline: self.deadline,
            })?
            .map_err(|source| ReadError::Fetch {
                chunk: chunk.id,
                offset: chunk.offset,
                source: Arc::new(source),
            })?;
        add(&self.tally.sealed_bytes, served.chunk.len() as u64);
        Ok(served.chunk)
    }

    /// The chunk itself. About 400 µs of zstd for 512 KiB: too long for a reactor thread.
    async fn open(
        self: &Arc<Self>,
        index: ChunkIndex,
        chunk: Chunk,
        sealed: SealedChunk,
    ) -> Result<Bytes, ReadError> {
        let _core = self.cores.acquire().await.map_err(|_| ReadError::Stopped)?;
        let image = Arc::clone(self);
        let opening = self.runtime.spawn_blocking(move || {
            let (_, key) = image.table.get(index)?;
            Some(open_chunk(&sealed, key, chunk.len))
        });
        match opening.await {
            Ok(Some(Ok(decoded))) => Ok(decoded.into()),
            Ok(Some(Err(source))) => {
                Err(ReadError::Open { chunk: chunk.id, offset: chunk.offset, source: Arc::new(source) })
            }
            Ok(None) | Err(_) => Err(ReadError::Stopped),
        }
    }
}
