//! Ingestion: one layer's blob into sealed chunks and a layer index, everything streaming.
//!
//! ```text
//! source ─▶ blob pieces ─▶ [decompress] ─▶ archive pieces ─▶ [read, cut] ─▶ [[compress, seal]] ─▶ put
//!   (digest)                                (diff id)
//! ```
//!
//! Single brackets are a thread of the layer, double ones the pool that all layers share. Invariant: memory is
//! bounded by the queues between the stages and by the budget of chunks, whatever a layer's size; see
//! `pieces.rs` and `seal_pool.rs`. A stage that fails closes its queues, and all others end.

mod allowance;
mod decompress;
mod entries;
mod layer_stream;
mod pieces;
mod pipeline;
mod put;
mod seal_pool;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use frazil_format::{DiffId, Entry, LayerIndex, StreamChunk};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::{mpsc, oneshot};

pub(crate) use allowance::Allowance;
pub(crate) use entries::FileSink;
#[cfg(feature = "fuzzing")]
pub(crate) use entries::read_entries;
pub(crate) use layer_stream::LayerStream;
pub(crate) use pipeline::{ReadArchive, ReceivePiece, blob_through_threads, read_archive};
pub(crate) use put::ChunkPutter;
pub(crate) use seal_pool::SealPool;

use pipeline::spawn;

use crate::cut::Cutter;
use crate::keys::Sealings;
use crate::progress::Progress;
use crate::source::{LayerDescriptor, Source};
use crate::summary::Warnings;
use crate::{ConvertError, CutParameters};

/// Layers that are read at once. More would hold more memory (a zstd window each) for little: one layer already
/// keeps several processors busy.
const CONCURRENT_LAYERS: usize = 2;

/// What all layers of a conversion share.
pub(crate) struct Ingest<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) pool: SealPool,
    pub(crate) sealings: &'a Sealings,
    pub(crate) putter: ChunkPutter,
    pub(crate) cut: CutParameters,
    pub(crate) limits: Arc<Limits>,
    pub(crate) source_bytes: AtomicU64,
}

/// What bounds an image.
pub(crate) struct Limits {
    /// Bytes of uncompressed archives.
    pub(crate) tar: Allowance,
    /// Bytes of layer streams.
    pub(crate) stream: Allowance,
    entries: Allowance,
}

/// The most memory of the entries of all layers, in bytes: some five million files.
const MAX_IMAGE_ENTRY_BYTES: u64 = 1 << 30;

impl Limits {
    pub(crate) fn new(max_image_bytes: u64) -> Self {
        Self {
            tar: Allowance::new("the uncompressed layers", max_image_bytes),
            stream: Allowance::new("the files of the image", max_image_bytes),
            entries: Allowance::new("the entries of the image", MAX_IMAGE_ENTRY_BYTES),
        }
    }

    /// Charges the entries of one more layer.
    pub(crate) fn entries(&self, entries: &[Entry]) -> Result<(), ConvertError> {
        let cost = entries.iter().map(entries::cost).sum();
        let limit = MAX_IMAGE_ENTRY_BYTES;
        self.entries.take(cost).map_err(|_| ConvertError::TooManyEntriesInImage { limit })
    }
}

/// A layer that was ingested. Its chunks are in the store, but may not be durable yet.
pub(crate) struct Ingested {
    pub(crate) index: LayerIndex,
    pub(crate) warnings: Warnings,
}

impl Ingest<'_> {
    /// Ingests layers, several at once, and gives each to `keep` when its chunks are put.
    pub(crate) async fn layers<K, F>(
        &self,
        layers: Vec<&LayerDescriptor>,
        keep: K,
    ) -> Result<HashMap<DiffId, Ingested>, ConvertError>
    where
        K: Fn(Ingested) -> F,
        F: Future<Output = Result<Ingested, ConvertError>>,
    {
        let keep = &keep;
        let jobs = layers.into_iter().map(|layer| async move {
            let wrap = |source: ConvertError| ConvertError::Layer {
                index: layer.index,
                diff_id: layer.diff_id,
                source: Box::new(source),
            };
            let ingested = keep(self.layer(layer).await.map_err(wrap)?).await.map_err(wrap)?;
            self.progress.layer_done(layer.index);
            Ok::<_, ConvertError>((layer.diff_id, ingested))
        });
        stream::iter(jobs).buffer_unordered(CONCURRENT_LAYERS).try_collect().await
    }

    /// Cuts, seals and puts a stream that is in memory, for the tenant's own scope.
    pub(crate) async fn stream(&self, bytes: Bytes) -> Result<Vec<StreamChunk>, ConvertError> {
        let (sealed_queue, sealed) = mpsc::unbounded_channel();
        let (result, cut) = oneshot::channel();
        let (pool, parameters) = (self.pool.sealing(self.sealings.own()), self.cut);
        spawn("frazil-cut", move || {
            let mut cutter = Cutter::new(parameters);
            let mut submit = |cut| pool.submit(cut, &sealed_queue);
            let done = cutter.data(&bytes, &mut submit).and_then(|()| cutter.finish(&mut submit));
            let _ = result.send(done);
        })?;
        let cut = async { cut.await.map_err(|_| ConvertError::Stopped)? };
        let (chunks, ()) = tokio::try_join!(self.putter.put_all(sealed), cut)?;
        Ok(chunks)
    }

    async fn layer(&self, layer: &LayerDescriptor) -> Result<Ingested, ConvertError> {
        let (sealed_queue, sealed) = mpsc::unbounded_channel();
        let pool = self.pool.sealing(self.sealings.of(&layer.diff_id));
        let (cut, limits) = (self.cut, Arc::clone(&self.limits));
        let read = move |pieces: &mut ReceivePiece<'_>| {
            let submit = |cut| pool.submit(cut, &sealed_queue);
            let mut stream = LayerStream::new(Cutter::new(cut), submit, &limits.stream);
            let read = read_archive(pieces, &limits.tar, &mut stream)?;
            let stream_len = stream.len();
            // The queue closes with this thread, and tells the puts that no more chunks will come.
            stream.finish().map(|()| (read, stream_len))
        };
        let passed = |bytes| {
            self.source_bytes.fetch_add(bytes, Ordering::Relaxed);
            self.progress.layer_read(layer.index, bytes);
        };
        let blob = self.source.layer(layer).await?;
        let reading = blob_through_threads(blob, layer, passed, read);
        let (chunks, (read, stream_len)) = tokio::try_join!(self.putter.put_all(sealed), reading)?;
        let ReadArchive { diff_id, tar_len, entries, warnings } = read;
        self.limits.entries(&entries)?;
        Ok(Ingested { index: LayerIndex { diff_id, tar_len, stream_len, entries, chunks }, warnings })
    }
}
