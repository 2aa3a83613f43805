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
mod put;
mod seal_pool;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;

use bytes::{Bytes, BytesMut};
use frazil_format::{DiffId, Entry, LayerIndex, StreamChunk};
use futures::{StreamExt, TryStreamExt, stream};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{mpsc, oneshot};

pub(crate) use allowance::Allowance;
pub(crate) use entries::{FileSink, read_entries};
pub(crate) use put::ChunkPutter;
pub(crate) use seal_pool::SealPool;

use decompress::decompress;
use layer_stream::LayerStream;
use pieces::{PIECE_BYTES, Piece, Pieces, QUEUED_PIECES};
use seal_pool::SealedQueue;

use crate::cut::Cutter;
use crate::progress::Progress;
use crate::source::{LayerCompression, LayerDescriptor, Source, Verified};
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
}

impl Limits {
    pub(crate) fn new(max_image_bytes: u64) -> Self {
        Self {
            tar: Allowance::new("the uncompressed layers", max_image_bytes),
            stream: Allowance::new("the files of the image", max_image_bytes),
        }
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

    /// Cuts, seals and puts a stream that is in memory.
    pub(crate) async fn stream(&self, bytes: Vec<u8>) -> Result<Vec<StreamChunk>, ConvertError> {
        let (sealed_queue, sealed) = mpsc::unbounded_channel();
        let (result, cut) = oneshot::channel();
        let (pool, parameters) = (self.pool.clone(), self.cut);
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
        let blob = Verified::layer(self.source.layer(layer).await?, layer);
        let (blob_queue, blob_pieces) = mpsc::channel(QUEUED_PIECES);
        let (sealed_queue, sealed) = mpsc::unbounded_channel();
        let reader = self.start_threads(layer, blob_pieces, sealed_queue)?;
        let read = async { reader.await.map_err(|_| ConvertError::Stopped)? };
        let ((), chunks, read) =
            tokio::try_join!(self.feed(blob, layer.index, blob_queue), self.putter.put_all(sealed), read)?;
        if read.actual != layer.diff_id {
            return Err(ConvertError::WrongDiffId { actual: read.actual });
        }
        Ok(read.into_ingested(chunks))
    }

    /// Sends the blob's bytes and then its end. What goes wrong travels along, so that there is one place to report.
    async fn feed(
        &self,
        mut blob: impl AsyncRead + Unpin,
        index: usize,
        queue: mpsc::Sender<Piece>,
    ) -> Result<(), ConvertError> {
        loop {
            let piece = tokio::select! {
                piece = read_piece(&mut blob) => piece,
                () = queue.closed() => return Ok(()),
            };
            let len = piece.as_ref().map_or(0, Bytes::len);
            self.source_bytes.fetch_add(len as u64, Ordering::Relaxed);
            self.progress.layer_read(index, len as u64);
            if queue.send(piece).await.is_err() || len == 0 {
                return Ok(());
            }
        }
    }

    fn start_threads(
        &self,
        layer: &LayerDescriptor,
        mut blob: mpsc::Receiver<Piece>,
        sealed: SealedQueue,
    ) -> Result<oneshot::Receiver<Result<ReadLayer, ConvertError>>, ConvertError> {
        let (result, reader) = oneshot::channel();
        let (pool, cut, limits) = (self.pool.clone(), self.cut, Arc::clone(&self.limits));
        let read = move |archive: &mut dyn FnMut() -> Option<Piece>| {
            // The queue of sealed chunks closes with this thread, and tells the puts that no more will come.
            let _ = result.send(read_layer(archive, cut, &limits, |cut| pool.submit(cut, &sealed)));
        };
        let compression = layer.compression;
        if compression == LayerCompression::None {
            spawn("frazil-read", move || read(&mut || blob.blocking_recv()))?;
        } else {
            let (archive_queue, archive) = sync_channel(QUEUED_PIECES);
            spawn("frazil-unpack", move || {
                let blob = Pieces::new(|| blob.blocking_recv(), |_| Ok(()));
                decompress(compression, blob, |piece| archive_queue.send(piece).is_ok());
            })?;
            spawn("frazil-read", move || read(&mut || archive.recv().ok()))?;
        }
        Ok(reader)
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), ConvertError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop).map_err(ConvertError::Thread)
}

async fn read_piece(blob: &mut (impl AsyncRead + Unpin)) -> Piece {
    let mut piece = BytesMut::with_capacity(PIECE_BYTES);
    while piece.len() < PIECE_BYTES {
        match blob.read_buf(&mut piece).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return Err(ConvertError::Blob(error)),
        }
    }
    Ok(piece.freeze())
}

/// A layer that was read to its end.
struct ReadLayer {
    /// What its archive hashes to.
    actual: DiffId,
    tar_len: u64,
    stream_len: u64,
    entries: Vec<Entry>,
    warnings: Warnings,
}

impl ReadLayer {
    fn into_ingested(self, chunks: Vec<StreamChunk>) -> Ingested {
        let Self { actual, tar_len, stream_len, entries, warnings } = self;
        Ingested { index: LayerIndex { diff_id: actual, tar_len, stream_len, entries, chunks }, warnings }
    }
}

/// Reads an archive and whatever lies behind its end marker, which the diff id covers too.
fn read_layer(
    receive: impl FnMut() -> Option<Piece>,
    cut: CutParameters,
    limits: &Limits,
    emit: impl FnMut(crate::cut::Cut) -> Result<(), ConvertError>,
) -> Result<ReadLayer, ConvertError> {
    let (mut hasher, mut tar_len) = (Sha256::new(), 0);
    let archive = Pieces::new(receive, |piece: &[u8]| {
        hasher.update(piece);
        tar_len += piece.len() as u64;
        limits.tar.take(piece.len() as u64)
    });
    let mut stream = LayerStream::new(Cutter::new(cut), emit, &limits.stream);
    let (entries, warnings, mut rest) = read_entries(archive, &mut stream)?;
    while !rest.next_piece()?.is_empty() {}
    drop(rest);
    let stream_len = stream.len();
    stream.finish()?;
    let actual = DiffId::from_bytes(hasher.finalize().into());
    Ok(ReadLayer { actual, tar_len, stream_len, entries, warnings })
}
