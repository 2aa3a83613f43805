//! Where the bytes of an image are: a manifest's chunks and their keys, searchable by offset; a table that grows, page
//! by page, while the manifest comes.
//!
//! Invariants: chunks are sorted, do not overlap, lie within the image and have one key each. That is checked
//! once, when a page is added, so that nobody behind it has to. The table says what it does not know yet:
//! whoever reads there waits, and no hole is taken for zeros.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use frazil_format::{CHUNKS_PER_PAGE, Chunk, ChunkKey, ChunkPage, Geometry, Manifest, ManifestId};
use tokio::sync::{Notify, watch};

use super::{ChunkIndex, ImageError, ReadError};

/// The checked chunks of one image, as far as they have come.
pub struct ChunkTable {
    geometry: Geometry,
    /// How many chunks there are, those that have not come yet included.
    len: usize,
    pages: Box<[OnceLock<ChunkPage>]>,
    /// Up to which byte of the image it is known which chunks there are.
    known: AtomicU64,
    state: watch::Sender<Come>,
    /// The manifest whose chunks they are; none for a table that was whole from the beginning.
    manifest: Option<ManifestId>,
    wanted: Arc<Notify>,
}

/// What has come, and what has not.
#[derive(Clone, Default)]
pub(super) struct Come {
    chunks: usize,
    /// The end of the last of them, in bytes of the image.
    end: u64,
    /// How often waiting for more was given up, and why the last time.
    failures: u32,
    failure: Option<ReadError>,
}

/// A part of a range that comes from one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Piece {
    /// No chunk covers it: this many zero bytes.
    Zeros(usize),
    /// These bytes of this chunk.
    Chunk(ChunkIndex, Range<usize>),
}

impl Piece {
    /// The piece's length in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Zeros(len) => *len,
            Self::Chunk(_, within) => within.len(),
        }
    }
}

impl ChunkTable {
    /// The table of a manifest that is here as a whole.
    ///
    /// # Errors
    /// [`ImageError`] if it contradicts itself.
    pub fn whole(manifest: Manifest) -> Result<Arc<Self>, ImageError> {
        let Manifest { geometry, mut chunks, mut keys, .. } = manifest;
        if chunks.len() != keys.len() {
            return Err(ImageError::KeyCount { chunks: chunks.len(), keys: keys.len() });
        }
        let table = Self::new(geometry, chunks.len(), None)?;
        while !chunks.is_empty() {
            let behind = chunks.len().min(CHUNKS_PER_PAGE);
            let (rest, rest_keys) = (chunks.split_off(behind), keys.split_off(behind));
            table.add(ChunkPage { chunks, keys })?;
            (chunks, keys) = (rest, rest_keys);
        }
        Ok(Arc::new(table))
    }

    /// The table of `len` chunks, none of which has come.
    pub(super) fn coming(
        geometry: Geometry,
        len: usize,
        manifest: ManifestId,
    ) -> Result<Arc<Self>, ImageError> {
        Self::new(geometry, len, Some(manifest)).map(Arc::new)
    }

    fn new(geometry: Geometry, len: usize, manifest: Option<ManifestId>) -> Result<Self, ImageError> {
        if u32::try_from(len).is_err() {
            return Err(ImageError::TooMany { chunks: len });
        }
        Ok(Self {
            known: AtomicU64::new(if len == 0 { geometry.image_len } else { 0 }),
            geometry,
            len,
            pages: (0..len.div_ceil(CHUNKS_PER_PAGE)).map(|_| OnceLock::new()).collect(),
            state: watch::Sender::default(),
            manifest,
            wanted: Arc::default(),
        })
    }

    /// Checks and adds the next page. One at a time.
    pub(super) fn add(&self, page: ChunkPage) -> Result<(), ImageError> {
        let Come { chunks: before, mut end, .. } = *self.state.borrow();
        let after = before.saturating_add(page.chunks.len());
        let is_full = page.chunks.len() == CHUNKS_PER_PAGE || after == self.len;
        if page.chunks.len() != page.keys.len() || !is_full || after > self.len {
            return Err(ImageError::KeyCount { chunks: page.chunks.len(), keys: page.keys.len() });
        }
        for chunk in &page.chunks {
            let chunk_end = chunk.offset.checked_add(u64::from(chunk.len));
            match chunk_end {
                Some(chunk_end)
                    if chunk.len > 0 && chunk.offset >= end && chunk_end <= self.geometry.image_len =>
                {
                    end = chunk_end;
                }
                _ => return Err(ImageError::Misplaced { chunk: chunk.id, offset: chunk.offset }),
            }
        }
        if let Some(place) = self.pages.get(before / CHUNKS_PER_PAGE) {
            let _ = place.set(page);
        }
        let known = if after == self.len { self.geometry.image_len } else { end };
        self.known.store(known, Release);
        self.state.send_modify(|state| (state.chunks, state.end) = (after, end));
        Ok(())
    }

    /// Fails those who wait for what has not come.
    pub(super) fn give_up(&self, failure: ReadError) {
        self.state.send_modify(|state| {
            state.failures = state.failures.wrapping_add(1);
            state.failure = Some(failure);
        });
    }

    /// Told when somebody waits for what has not come.
    pub(super) fn wanted(&self) -> Arc<Notify> {
        Arc::clone(&self.wanted)
    }

    /// Somebody waits for what has not come.
    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }

    /// What has come; tells of news.
    pub(super) fn news(&self) -> watch::Receiver<Come> {
        self.state.subscribe()
    }

    /// Waits until it is known which chunks there are before this byte of the image.
    pub(super) async fn reach(&self, end: u64, deadline: Duration) -> Result<(), ReadError> {
        self.wait(|| self.knows(end), deadline).await
    }

    /// Waits until the first `count` chunks have come.
    pub(crate) async fn reach_chunks(&self, count: usize, deadline: Duration) -> Result<(), ReadError> {
        self.wait(|| self.has_first(count), deadline).await
    }

    /// Waits until all chunks have come.
    ///
    /// # Errors
    /// [`ReadError::Page`] or [`ReadError::PageDeadline`] if they do not.
    pub async fn complete(&self, deadline: Duration) -> Result<(), ReadError> {
        self.reach_chunks(self.len, deadline).await
    }

    async fn wait(&self, is_here: impl Fn() -> bool, deadline: Duration) -> Result<(), ReadError> {
        let mut news = self.news();
        let failures = news.borrow_and_update().failures;
        if is_here() {
            return Ok(());
        }
        self.want();
        let waited = async {
            while !is_here() {
                let (failed, failure) = {
                    let state = news.borrow_and_update();
                    (state.failures != failures, state.failure.clone())
                };
                if let Some(failure) = failure.filter(|_| failed) {
                    return Err(failure);
                }
                news.changed().await.map_err(|_| ReadError::Stopped)?;
            }
            Ok(())
        };
        match (tokio::time::timeout(deadline, waited).await, self.manifest) {
            (Ok(outcome), _) => outcome,
            (Err(_), Some(manifest)) => {
                Err(ReadError::PageDeadline { manifest, page: self.next_page(), deadline })
            }
            (Err(_), None) => Err(ReadError::Stopped),
        }
    }

    /// The page that comes next.
    fn next_page(&self) -> u32 {
        (self.state.borrow().chunks / CHUNKS_PER_PAGE) as u32
    }

    /// Whether it is known which chunks there are before this byte of the image.
    fn knows(&self, end: u64) -> bool {
        end.min(self.image_len()) <= self.known.load(Acquire)
    }

    /// What the manifest says of the image in the clear.
    pub(super) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The length of the image in bytes.
    pub(super) fn image_len(&self) -> u64 {
        self.geometry.image_len
    }

    /// How many chunks there are, those that have not come yet included.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether this chunk has come.
    pub(super) fn has(&self, index: ChunkIndex) -> bool {
        self.page(index.as_usize() / CHUNKS_PER_PAGE).is_some()
    }

    /// A page that has come.
    pub(super) fn page(&self, page: usize) -> Option<&ChunkPage> {
        self.pages.get(page)?.get()
    }

    /// Whether the first `count` chunks have come, or all if there are fewer.
    pub(crate) fn has_first(&self, count: usize) -> bool {
        self.state.borrow().chunks >= count.min(self.len)
    }

    /// The first `count` chunks, as far as they have come.
    pub(crate) fn first(&self, count: usize) -> Vec<Chunk> {
        let pages = self.pages.iter().map_while(OnceLock::get);
        pages.flat_map(|page| &page.chunks).take(count).copied().collect()
    }

    /// A chunk that has come.
    pub(crate) fn chunk(&self, index: usize) -> Option<&Chunk> {
        self.page(index / CHUNKS_PER_PAGE)?.chunks.get(index % CHUNKS_PER_PAGE)
    }

    /// A chunk and its key, if they have come.
    pub(super) fn get(&self, index: ChunkIndex) -> Option<(&Chunk, &ChunkKey)> {
        let (page, at) = (index.as_usize() / CHUNKS_PER_PAGE, index.as_usize() % CHUNKS_PER_PAGE);
        let page = self.page(page)?;
        Some((page.chunks.get(at)?, page.keys.get(at)?))
    }

    /// The length of a chunk in bytes; nothing if there is none.
    pub(super) fn len_of(&self, index: usize) -> u64 {
        self.chunk(index).map_or(0, |chunk| u64::from(chunk.len))
    }

    /// The length of a sealed chunk, in bytes; 0 if there is no such chunk.
    pub(super) fn sealed_len_of(&self, index: ChunkIndex) -> u64 {
        self.chunk(index.as_usize()).map_or(0, |chunk| u64::from(chunk.sealed_len))
    }

    /// Where the metadata area, or the layer, that this chunk is in ends: the chunk behind it, or behind what
    /// has come.
    pub(super) fn area_end(&self, index: usize) -> usize {
        let Some(chunk) = self.chunk(index) else { return index };
        let layers = &self.geometry.layers;
        let end = match chunk.offset < self.geometry.metadata_len {
            true => self.geometry.metadata_len,
            false => {
                let next = layers.partition_point(|layer| layer.offset <= chunk.offset);
                layers.get(next).map_or(u64::MAX, |layer| layer.offset)
            }
        };
        self.partition_point(|chunk| chunk.offset < end)
    }

    /// The chunks of the metadata area, as far as they have come.
    pub(super) fn metadata(&self) -> Range<usize> {
        0..self.partition_point(|chunk| chunk.offset < self.geometry.metadata_len)
    }

    /// The pieces of `len` bytes at `offset`, in order, cut at the end of the image; none while it is not known which
    /// chunks lie there.
    pub(super) fn pieces(&self, offset: u64, len: usize) -> Option<Pieces<'_>> {
        let end = offset.saturating_add(len as u64).min(self.image_len());
        if !self.knows(end) {
            return None;
        }
        let next = self.partition_point(|chunk| chunk.offset + u64::from(chunk.len) <= offset);
        Some(Pieces { table: self, at: offset, end, next })
    }

    /// The first chunk, of those that have come, for which `is_before` does not hold.
    fn partition_point(&self, is_before: impl Fn(&Chunk) -> bool) -> usize {
        let is_all_before = |page: &OnceLock<ChunkPage>| {
            page.get().and_then(|page| page.chunks.last()).is_some_and(&is_before)
        };
        let page = self.pages.partition_point(is_all_before);
        let within = self.page(page).map_or(0, |page| page.chunks.partition_point(&is_before));
        (page * CHUNKS_PER_PAGE + within).min(self.len)
    }
}

impl std::fmt::Debug for ChunkTable {
    /// Its keys are nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let chunks = self.state.borrow().chunks;
        f.debug_struct("ChunkTable").field("len", &self.len).field("chunks", &chunks).finish_non_exhaustive()
    }
}

impl Drop for ChunkTable {
    fn drop(&mut self) {
        // Whatever brings the rest need not go on.
        self.want();
    }
}

/// Iterates over the pieces of a range.
pub(super) struct Pieces<'a> {
    table: &'a ChunkTable,
    at: u64,
    end: u64,
    next: usize,
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.at >= self.end {
            return None;
        }
        let piece_end = match self.table.chunk(self.next) {
            Some(chunk) if chunk.offset <= self.at => {
                let piece_end = self.end.min(chunk.offset + u64::from(chunk.len));
                let within = (self.at - chunk.offset) as usize..(piece_end - chunk.offset) as usize;
                let piece = Piece::Chunk(ChunkIndex::new(self.next), within);
                self.at = piece_end;
                self.next += 1;
                return Some(piece);
            }
            Some(chunk) => self.end.min(chunk.offset),
            None => self.end,
        };
        let zeros = Piece::Zeros((piece_end - self.at) as usize);
        self.at = piece_end;
        Some(zeros)
    }
}
