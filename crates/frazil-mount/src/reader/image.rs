//! One opened image: its chunks and keys, the tier they come from, and what was decoded lately.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use frazil_cache::host::MeterCounts;
use frazil_cache::resilience::Slots;
use frazil_cache::{Level, Tier};
use frazil_format::{ChunkId, Geometry, Manifest, RootId, SealedChunk};
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::account::Account;
use super::blocks::Blocks;
use super::chunk_table::{ChunkTable, Piece};
use super::complaints::Complaints;
use super::counters::Tally;
use super::decoded::{Decoded, Opened};
use super::flights::Flights;
use super::neighbours::Neighbours;
use super::prefetch::{Marks, OpenedAhead, Prefetches};
use super::sealed::Sealed;
use super::streams::Streams;
use super::touches::Touches;
use super::{AddressSpace, ChunkIndex, Counters, ImageError, ReadError, TouchListener, Wait};
use crate::whereabouts;

/// Failed reads whose files are looked for at once.
const FILE_LOOKS_MAX: usize = 4;

/// How an image is read.
#[derive(Clone)]
pub struct ImageOptions {
    /// Memory for decoded chunks, in bytes; half of it again is for those that are opened ahead. Too little: a chunk
    /// that is read in several requests is decoded several times.
    pub decoded_budget_bytes: u64,
    /// Memory for sealed chunks that were prefetched and not yet read, in bytes. Where these leave room, it also
    /// holds those that were opened and have something left to be read.
    pub sealed_budget_bytes: u64,
    /// How far ahead of a program that reads front to back to fetch, in bytes of the image; 0 fetches nothing ahead.
    pub read_ahead_bytes: u64,
    /// From this latency of the origin on, what lies beside a chunk that had to be fetched is fetched along
    /// with it: a guess, which gains nothing where chunks come at once, or where the wire is full. Not before
    /// any chunk has come, and never without read-ahead.
    pub guess_from: Duration,
    /// How much of the metadata area to fetch when the image is mounted, in bytes of the image.
    pub metadata_ahead_bytes: u64,
    /// How long a read waits for one chunk before it fails with EIO.
    pub deadline: Duration,
    /// The root where the chunks lie, as the image's reference says; the root that the image was converted in if
    /// nothing is said.
    pub root: Option<RootId>,
    /// Told of every first touch of a chunk.
    pub touch_listener: Option<Arc<dyn TouchListener>>,
}

impl Default for ImageOptions {
    /// 32 MiB decoded (the largest chunk is 4 MiB; a handful of streams) and 32 MiB sealed (a quarter of a second at
    /// 1 Gbit/s): a start of pandas, which reads 49 MB of sealed chunks in parts, fetches 3 % of them twice with that,
    /// and 15 % with half of it; 4 MiB ahead (twice what fits a link of 1 Gbit/s and 5 ms, compressed); guesses from
    /// 1 ms on (what is further away than the zone); 4 MiB of metadata (that of 50,000 files); one minute, the root of
    /// the conversion, nobody told.
    fn default() -> Self {
        Self {
            decoded_budget_bytes: 32 << 20,
            sealed_budget_bytes: 32 << 20,
            read_ahead_bytes: 4 << 20,
            guess_from: Duration::from_millis(1),
            metadata_ahead_bytes: 4 << 20,
            deadline: Duration::from_secs(60),
            root: None,
            touch_listener: None,
        }
    }
}

/// An image that can be read at any offset.
pub struct Image {
    pub(super) root: RootId,
    pub(super) table: Arc<ChunkTable>,
    pub(super) tier: Arc<dyn Tier>,
    pub(super) runtime: Handle,
    pub(super) deadline: Duration,
    pub(super) decoded: Decoded,
    pub(super) sealed: Sealed,
    /// From a chunk's index to its plain bytes.
    pub(super) openings: Flights<Arc<Opened>>,
    /// From a chunk's index to its sealed bytes.
    pub(super) fetches: Flights<SealedChunk>,
    pub(super) touches: Touches,
    pub(super) tally: Tally,
    pub(super) account: Account,
    pub(super) streams: Streams,
    pub(super) neighbours: Neighbours,
    /// It guesses from this latency on; never if there is none.
    pub(super) guess_from: Option<Duration>,
    /// The chunks that somebody knew would be read: nothing is guessed from their being read.
    pub(super) foretold: Blocks,
    pub(super) metadata_ahead_bytes: u64,
    pub(super) prefetches: Prefetches,
    pub(super) marks: Marks,
    pub(super) opened_ahead: OpenedAhead,
    /// Opening a chunk takes a core; more of them at once than cores only adds memory.
    pub(super) cores: Arc<Slots>,
    /// For work that the image starts by itself.
    pub(super) me: Weak<Image>,
    complaints: Complaints,
    /// A permit for each search for the file that a failed read was of.
    looking_for_files: Arc<Semaphore>,
}

impl Image {
    /// Opens an image whose sealed chunks come from `tier`; fetching and opening run on `runtime`.
    ///
    /// # Errors
    ///
    /// [`ImageError`] if the manifest's chunk table contradicts itself.
    pub fn new(
        manifest: Manifest,
        tier: Arc<dyn Tier>,
        runtime: Handle,
        options: ImageOptions,
    ) -> Result<Arc<Self>, ImageError> {
        Ok(Self::over(ChunkTable::whole(manifest)?, tier, runtime, options))
    }

    /// Opens an image whose chunk table may still be coming: what is read beyond it waits.
    pub fn over(
        table: Arc<ChunkTable>,
        tier: Arc<dyn Tier>,
        runtime: Handle,
        options: ImageOptions,
    ) -> Arc<Self> {
        let chunk_count = table.len();
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Arc::new_cyclic(|me| Self {
            root: options.root.unwrap_or(table.geometry().root),
            touches: Touches::new(chunk_count, options.touch_listener),
            marks: Marks::new(chunk_count),
            account: Account::new(chunk_count),
            table,
            tier,
            runtime,
            deadline: options.deadline,
            decoded: Decoded::new(options.decoded_budget_bytes),
            opened_ahead: OpenedAhead::new(options.decoded_budget_bytes / 2, cores.saturating_sub(1).max(1)),
            sealed: Sealed::new(options.sealed_budget_bytes),
            openings: Flights::default(),
            fetches: Flights::default(),
            tally: Tally::default(),
            streams: Streams::new(options.read_ahead_bytes),
            neighbours: Neighbours::default(),
            guess_from: (options.read_ahead_bytes > 0).then_some(options.guess_from),
            foretold: Blocks::new(chunk_count),
            metadata_ahead_bytes: options.metadata_ahead_bytes,
            prefetches: Prefetches::default(),
            // How many wait for a core is bounded by how many may read and by the prefetch window.
            cores: Slots::new(cores, usize::MAX),
            me: me.clone(),
            complaints: Complaints::default(),
            looking_for_files: Arc::new(Semaphore::new(FILE_LOOKS_MAX)),
        })
    }

    /// What the manifest says of the image in the clear.
    pub fn geometry(&self) -> &Geometry {
        self.table.geometry()
    }

    /// The length of the image in bytes.
    pub fn len(&self) -> u64 {
        self.table.image_len()
    }

    /// Whether the image has no byte at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until the whole chunk table is here, within the deadline of a read: for whoever asks about all chunks.
    ///
    /// # Errors
    /// [`ReadError`] if it does not come.
    pub async fn complete_table(&self) -> Result<(), ReadError> {
        self.table.complete(self.deadline).await
    }

    /// All sealed chunks, in bytes, as far as their table has come.
    pub fn sealed_bytes(&self) -> u64 {
        self.chunk_indexes().map(|index| self.table.sealed_len_of(index)).sum()
    }

    /// Which chunk this is; `None` if the image has no such chunk, or if its part of the table has not come.
    pub fn place_of(&self, index: ChunkIndex) -> Option<Place> {
        let (chunk, _) = self.table.get(index)?;
        let (id, offset, len, sealed_len) = (chunk.id, chunk.offset, chunk.len, chunk.sealed_len);
        Some(Place { id, offset, len, sealed_len })
    }

    /// The chunk at this place of the chunk table, if there is one.
    pub fn chunk_index(&self, index: usize) -> Option<ChunkIndex> {
        (index < self.table.len()).then(|| ChunkIndex::new(index))
    }

    /// All chunks, in the order of their offsets.
    pub fn chunk_indexes(&self) -> impl Iterator<Item = ChunkIndex> + Send + 'static {
        (0..self.table.len()).map(ChunkIndex::new)
    }

    /// Whether a read needed this chunk so far.
    pub fn is_touched(&self, index: ChunkIndex) -> bool {
        self.touches.contains(index)
    }

    /// Says that these chunks will be read, and come ahead of their readers: that they are read one after the
    /// other says nothing of what follows them in the image.
    pub fn foretell(&self, chunks: impl IntoIterator<Item = ChunkIndex>) {
        for chunk in chunks {
            self.foretold.set(chunk.as_usize()..chunk.as_usize() + 1);
        }
    }

    /// What was read so far.
    pub fn counters(&self) -> Counters {
        self.tally.snapshot(self.touches.count(), self.table.len() as u64)
    }

    /// The chunks that each level had, and how long they took.
    pub fn levels(&self) -> Vec<(Level, MeterCounts)> {
        self.account.levels()
    }

    /// How often and how long readers waited.
    pub fn waits(&self) -> Wait {
        self.account.all_waits()
    }

    /// What programs, or the kernel for them, read of the image so far, in bytes; whole blocks, each once.
    pub fn read_bytes(&self) -> u64 {
        self.account.read_bytes()
    }

    /// What was read, and how.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// The chunks of these bytes of the image, and which part of each; none where the table has not come.
    pub(crate) fn chunks_of(&self, bytes: Range<u64>) -> impl Iterator<Item = (ChunkIndex, Range<usize>)> {
        let len = usize::try_from(bytes.end.saturating_sub(bytes.start)).unwrap_or(usize::MAX);
        self.table.pieces(bytes.start, len).into_iter().flatten().filter_map(|piece| match piece {
            Piece::Zeros(_) => None,
            Piece::Chunk(index, within) => Some((index, within)),
        })
    }

    /// The chunks of the metadata area, as far as their table has come.
    pub(crate) fn metadata_chunks(&self) -> Range<usize> {
        self.table.metadata()
    }

    /// Where the image's work runs.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Logs a failed read of the byte at `offset`, with the file that lies there, unless the same chunk was
    /// complained of just now. Returns at once.
    pub(crate) fn complain(self: Arc<Self>, error: ReadError, offset: u64) {
        let chunk = error.chunk().map(|(chunk, _)| chunk);
        let Some(left_out) = self.complaints.admit(chunk) else { return };
        let runtime = self.runtime.clone();
        // Looking for the file walks the tree: a few at a time, or an origin that is away would be asked for much.
        let looking = Arc::clone(&self.looking_for_files).try_acquire_owned().ok();
        runtime.spawn(async move {
            let file = match looking {
                Some(_looking) => whereabouts::file_at(&self, offset).await,
                None => None,
            };
            let file = file.as_deref().unwrap_or("(unknown)");
            let causes = frazil_cache::chain(&error);
            let image = &self.geometry().name;
            match chunk {
                Some(chunk) => {
                    tracing::error!(image, %chunk, offset, file, left_out, "cannot read {file}: {causes}");
                }
                None => tracing::error!(image, offset, file, left_out, "cannot read {file}: {causes}"),
            }
        });
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.prefetches.stop();
    }
}

/// Where a chunk is: in the store by its id, in the image by its offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The chunk's id.
    pub id: ChunkId,
    /// Where it starts in the image, in bytes.
    pub offset: u64,
    /// Its length, in bytes.
    pub len: u32,
    /// The length of the sealed chunk, in bytes.
    pub sealed_len: u32,
}

impl AddressSpace for Image {
    fn len(&self) -> u64 {
        Self::len(self)
    }

    fn try_read(&self, offset: u64, len: usize, sink: &mut dyn FnMut(&[u8])) -> bool {
        self.try_with(offset, len, sink).is_some()
    }

    fn read(self: Arc<Self>, offset: u64, len: usize) -> BoxFuture<'static, Result<Bytes, ReadError>> {
        Box::pin(async move { Self::read(&self, offset, len).await })
    }

    fn failed(self: Arc<Self>, offset: u64, error: ReadError) {
        self.complain(error, offset);
    }
}

impl fmt::Debug for Image {
    /// Names the image; its keys are nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("name", &self.geometry().name)
            .field("tier", &self.tier)
            .finish_non_exhaustive()
    }
}
