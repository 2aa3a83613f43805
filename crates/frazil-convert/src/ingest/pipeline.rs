//! The threads that one layer's blob passes through: decompressing, then reading the archive.
//!
//! Invariant: whatever comes out has been proven, the blob by its digest and the archive by its diff id, both to their
//! last byte. Dropping the future closes the first queue, and the threads end.

use std::sync::mpsc::sync_channel;

use bytes::{Bytes, BytesMut};
use frazil_format::{DiffId, Entry};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{mpsc, oneshot};

use super::allowance::Allowance;
use super::decompress::decompress;
use super::entries::{FileSink, read_entries};
use super::pieces::{PIECE_BYTES, Piece, Pieces, QUEUED_PIECES};
use crate::ConvertError;
use crate::source::{BlobStream, LayerCompression, LayerDescriptor, Verified};
use crate::summary::Warnings;

/// Gives the next piece of an archive.
pub(crate) type ReceivePiece<'a> = dyn FnMut() -> Option<Piece> + 'a;

/// An archive that was read to its end.
pub(crate) struct ReadArchive {
    pub(crate) diff_id: DiffId,
    pub(crate) tar_len: u64,
    pub(crate) entries: Vec<Entry>,
    pub(crate) warnings: Warnings,
}

/// Streams a blob through the threads. `read` runs in the last one, and sees the decompressed bytes; `passed` is told
/// of the blob's bytes as they go by.
pub(crate) async fn blob_through_threads<T: Send + 'static>(
    blob: BlobStream,
    layer: &LayerDescriptor,
    passed: impl Fn(u64),
    read: impl FnOnce(&mut ReceivePiece<'_>) -> Result<(ReadArchive, T), ConvertError> + Send + 'static,
) -> Result<(ReadArchive, T), ConvertError> {
    let blob = Verified::layer(blob, layer);
    let (queue, pieces) = mpsc::channel(QUEUED_PIECES);
    let reader = start_threads(layer.compression, pieces, read)?;
    let reader = async { reader.await.map_err(|_| ConvertError::Stopped)? };
    let (read, ()) = tokio::try_join!(reader, feed(blob, queue, passed))?;
    match read.0.diff_id {
        actual if actual != layer.diff_id => Err(ConvertError::WrongDiffId { actual }),
        _ => Ok(read),
    }
}

/// Reads an archive and whatever lies behind its end marker, which the diff id covers too.
pub(crate) fn read_archive(
    receive: &mut ReceivePiece<'_>,
    allowance: &Allowance,
    sink: &mut impl FileSink,
) -> Result<ReadArchive, ConvertError> {
    let (mut hasher, mut tar_len) = (Sha256::new(), 0);
    let archive = Pieces::new(receive, |piece: &[u8]| {
        hasher.update(piece);
        tar_len += piece.len() as u64;
        allowance.take(piece.len() as u64)
    });
    let (entries, warnings, mut rest) = read_entries(archive, sink)?;
    while !rest.next_piece()?.is_empty() {}
    drop(rest);
    Ok(ReadArchive { diff_id: DiffId::from_bytes(hasher.finalize().into()), tar_len, entries, warnings })
}

/// Sends the blob's bytes and then its end. What goes wrong travels along, so that there is one place to report.
async fn feed(
    mut blob: impl AsyncRead + Unpin,
    queue: mpsc::Sender<Piece>,
    passed: impl Fn(u64),
) -> Result<(), ConvertError> {
    loop {
        let piece = tokio::select! {
            piece = read_piece(&mut blob) => piece,
            () = queue.closed() => return Ok(()),
        };
        let len = piece.as_ref().map_or(0, Bytes::len);
        passed(len as u64);
        if queue.send(piece).await.is_err() || len == 0 {
            return Ok(());
        }
    }
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

fn start_threads<T: Send + 'static>(
    compression: LayerCompression,
    mut blob: mpsc::Receiver<Piece>,
    read: impl FnOnce(&mut ReceivePiece<'_>) -> Result<T, ConvertError> + Send + 'static,
) -> Result<oneshot::Receiver<Result<T, ConvertError>>, ConvertError> {
    let (result, reader) = oneshot::channel();
    let read = move |pieces: &mut ReceivePiece<'_>| drop(result.send(read(pieces)));
    if compression == LayerCompression::None {
        spawn("frazil-read", move || read(&mut || blob.blocking_recv()))?;
    } else {
        let (queue, archive) = sync_channel(QUEUED_PIECES);
        spawn("frazil-unpack", move || {
            let blob = Pieces::new(|| blob.blocking_recv(), |_: &[u8]| Ok(()));
            decompress(compression, blob, |piece| queue.send(piece).is_ok());
        })?;
        spawn("frazil-read", move || read(&mut || archive.recv().ok()))?;
    }
    Ok(reader)
}

/// Starts a named thread that ends by itself, when the queues that it waits for close.
pub(super) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), ConvertError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop).map_err(ConvertError::Thread)
}
