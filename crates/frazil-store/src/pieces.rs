//! An object's bytes as they come, piece by piece.

use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use tokio::sync::mpsc;

use crate::StoreError;
use crate::coming::MANIFEST_FRONT_LEN;

/// A part of an object's bytes, of whatever length.
pub type Piece = Result<Bytes, StoreError>;

/// An object's bytes, as they come.
pub type Pieces = BoxStream<'static, Piece>;

/// Pieces, the first of which are put together.
pub(crate) struct Gathering {
    here: BytesMut,
    rest: Pieces,
}

impl Gathering {
    pub(crate) fn of(pieces: Pieces) -> Self {
        Self { here: BytesMut::new(), rest: pieces }
    }

    /// Waits until `len` bytes have come, or all that there are; says whether there are that many.
    pub(crate) async fn reach(&mut self, len: u64) -> Result<bool, StoreError> {
        while (self.here.len() as u64) < len {
            match self.rest.try_next().await? {
                Some(piece) => self.here.extend_from_slice(&piece),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The next `len` bytes; none if fewer come.
    pub(crate) async fn take(&mut self, len: usize) -> Result<Option<Bytes>, StoreError> {
        Ok(self.reach(len as u64).await?.then(|| self.here.split_to(len).freeze()))
    }

    /// What is here in one piece, and those that follow.
    pub(crate) fn all(self) -> Pieces {
        let here = stream::once(std::future::ready(Ok(self.here.freeze())));
        here.chain(self.rest).boxed()
    }
}

/// The pieces, read as they come, even while nobody takes them: a connection that nobody reads fills up and
/// stalls, and the way to the store with it. They are kept until they are taken, so they must be few.
pub(crate) fn read_on(mut pieces: Pieces) -> Pieces {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let pass_on = async {
            while let Some(piece) = pieces.next().await
                && sender.send(piece).is_ok()
            {}
        };
        tokio::select! {
            () = pass_on => {}
            () = sender.closed() => {}
        }
    });
    stream::unfold(receiver, |mut pieces| async move { pieces.recv().await.map(|piece| (piece, pieces)) })
        .boxed()
}

/// A range of a file, read in pieces; the first is as long as a manifest's front.
pub(crate) fn of_file(file: std::fs::File, range: Range<u64>, path: &Path) -> Pieces {
    let (file, path) = (Arc::new(file), path.to_string());
    let pieces = stream::try_unfold(range.start, move |at| {
        let (file, path) = (Arc::clone(&file), path.clone());
        let end = range.end.min(at.saturating_add(MANIFEST_FRONT_LEN.max(at)));
        async move {
            if at >= end {
                return Ok(None);
            }
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; (end - at) as usize];
                file.read_exact_at(&mut piece, at).map(|()| Bytes::from(piece))
            });
            let read = read.await.map_err(std::io::Error::other).flatten();
            read.map(|piece| Some((piece, end))).map_err(|source| StoreError::io("read", path, source))
        }
    });
    pieces.boxed()
}

/// The pieces, each of which has to come in time.
pub(crate) fn within_stall(pieces: Pieces, stall: Option<Duration>, path: &Path) -> Pieces {
    let Some(waited) = stall else { return pieces };
    let path = path.to_string();
    let pieces = stream::unfold(Some(pieces), move |pieces| {
        let path = path.clone();
        async move {
            let mut pieces = pieces?;
            match tokio::time::timeout(waited, pieces.next()).await {
                Ok(piece) => piece.map(|piece| (piece, Some(pieces))),
                Err(_) => Some((Err(StoreError::Stalled { action: "read", path, waited }), None)),
            }
        }
    });
    pieces.boxed()
}
