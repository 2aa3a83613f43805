//! Objects by path: the few things this house asks of an object store, and the rules they all keep.
//!
//! * A read is bounded before its first byte.
//! * A put is atomic, whole or absent, and says how soon it must be durable.
//! * A present chunk of another length is what a power cut left of it, and counts as absent.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use std::ops::Range;

use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    WriteMultipart,
};

use crate::StoreError;
use crate::barrier::Barrier;
use crate::leftovers::Leftovers;

/// What a put found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Put {
    /// It was absent, and was written.
    New,
    /// It was there.
    Present,
}

/// A part of an object's bytes, of whatever length.
pub type Piece = Result<Bytes, StoreError>;

/// An object's bytes, as they come.
pub type Pieces = BoxStream<'static, Piece>;

/// When a put must be durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Durability {
    /// When the next barrier is passed.
    AtBarrier,
    /// When it returns.
    AtOnce,
}

/// The parts of a long object, in bytes: S3 takes none below 5 MiB.
pub(crate) const PART_LEN: usize = 8 << 20;

/// An object store, opened.
#[derive(Debug)]
pub(crate) struct Objects {
    /// Puts are durable after the barrier. Everything but durable puts goes this way.
    pub(crate) plain: Arc<dyn ObjectStore>,
    /// Puts are durable when they return.
    pub(crate) durable: Arc<dyn ObjectStore>,
    /// Reads whose caller retries, and so nothing below may.
    pub(crate) once: Arc<dyn ObjectStore>,
    /// How long an answer and each piece of it is waited for; for ever where the kernel answers.
    pub(crate) stall: Option<Duration>,
    pub(crate) barrier: Barrier,
    /// For stores where killed writers leave something.
    pub(crate) leftovers: Option<Leftovers>,
}

impl Objects {
    /// The object's length in bytes; `None` if it is not there.
    pub(crate) async fn len(&self, path: &Path) -> Result<Option<u64>, StoreError> {
        match self.within_stall("look at", path, self.plain.head(path)).await? {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(StoreError::backend("look at", path, error)),
        }
    }

    /// The whole object, which must not be longer than `limit` bytes.
    pub(crate) async fn read(&self, path: &Path, limit: u64) -> Result<Bytes, StoreError> {
        self.read_from(&self.plain, path, limit).await
    }

    /// The same for a caller that retries.
    pub(crate) async fn read_once(&self, path: &Path, limit: u64) -> Result<Bytes, StoreError> {
        self.read_from(&self.once, path, limit).await
    }

    async fn read_from(
        &self,
        objects: &Arc<dyn ObjectStore>,
        path: &Path,
        limit: u64,
    ) -> Result<Bytes, StoreError> {
        let failed = |error| StoreError::backend("read", path, error);
        let answer = self.within_stall("read", path, objects.get(path)).await?.map_err(failed)?;
        let oversized = |len| StoreError::Oversized { path: path.to_string(), len, limit };
        if answer.meta.size > limit {
            return Err(oversized(answer.meta.size));
        }
        // A file is read in one go; a body from a network is held to the limit whatever its header promised.
        if matches!(answer.payload, GetResultPayload::File(..)) {
            return answer.bytes().await.map_err(failed);
        }
        let expected = usize::try_from(answer.meta.size).unwrap_or_default();
        let mut body = BytesMut::with_capacity(expected);
        let mut pieces = answer.into_stream();
        while let Some(piece) = self.within_stall("read", path, pieces.try_next()).await?.map_err(failed)? {
            body.extend_from_slice(&piece);
            if body.len() as u64 > limit {
                return Err(oversized(body.len() as u64));
            }
        }
        Ok(body.freeze())
    }

    /// A range of the object, as it comes; asked for once.
    pub(crate) async fn stream(&self, path: &Path, range: Range<u64>) -> Result<Pieces, StoreError> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let failed = {
            let path = path.clone();
            move |error| StoreError::backend("read", &path, error)
        };
        let answer = self
            .within_stall("read", path, self.once.get_opts(path, options))
            .await?
            .map_err(failed.clone())?;
        if matches!(answer.payload, GetResultPayload::File(..)) {
            let bytes = answer.bytes().await.map_err(failed)?;
            return Ok(futures::stream::once(std::future::ready(Ok(bytes))).boxed());
        }
        Ok(answer.into_stream().map_err(failed).boxed())
    }

    /// Writes a long object part by part. Not durable, and not there before it is finished.
    pub(crate) async fn start_long(&self, path: &Path) -> Result<WriteMultipart, StoreError> {
        if let Some(leftovers) = &self.leftovers {
            leftovers.sweep_beside(path).await;
        }
        let started = self.plain.put_multipart(path).await;
        started
            .map(|upload| WriteMultipart::new_with_chunk_size(upload, PART_LEN))
            .map_err(|error| StoreError::backend("write", path, error))
    }

    async fn within_stall<T>(
        &self,
        action: &'static str,
        path: &Path,
        answer: impl Future<Output = T>,
    ) -> Result<T, StoreError> {
        match self.stall {
            None => Ok(answer.await),
            Some(waited) => tokio::time::timeout(waited, answer).await.map_err(|_| StoreError::Stalled {
                action,
                path: path.to_string(),
                waited,
            }),
        }
    }

    /// Writes the object, replacing what is there.
    pub(crate) async fn put(
        &self,
        path: &Path,
        bytes: Bytes,
        durability: Durability,
    ) -> Result<(), StoreError> {
        self.write(path, bytes, PutMode::Overwrite, durability)
            .await
            .map_err(|error| StoreError::backend("write", path, error))
    }

    /// Writes the object, durably, unless there is one, whatever it holds.
    pub(crate) async fn create(&self, path: &Path, bytes: Bytes) -> Result<Put, StoreError> {
        match self.write(path, bytes, PutMode::Create, Durability::AtOnce).await {
            Ok(()) => Ok(Put::New),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Put::Present),
            Err(error) => Err(StoreError::backend("write", path, error)),
        }
    }

    /// Writes an object whose content its path decides, unless it is there; durable at the barrier, whoever wrote
    /// it. One of another length is what a power cut left, and is replaced.
    pub(crate) async fn put_if_absent(&self, path: &Path, bytes: Bytes) -> Result<Put, StoreError> {
        let len = bytes.len() as u64;
        let found = self.len(path).await?;
        if found == Some(len) {
            self.barrier.note_put();
            return Ok(Put::Present);
        }
        if found.is_none() {
            match self.write(path, bytes.clone(), PutMode::Create, Durability::AtBarrier).await {
                Ok(()) => return Ok(Put::New),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
                Err(error) => return Err(StoreError::backend("write", path, error)),
            }
            // Somebody was faster.
            if self.len(path).await? == Some(len) {
                self.barrier.note_put();
                return Ok(Put::Present);
            }
        }
        tracing::warn!(%path, expected = len, ?found, "replacing an object of the wrong length");
        self.put(path, bytes, Durability::AtBarrier).await.map(|()| Put::New)
    }

    /// Deletes the object, if it is there; says whether it was.
    pub(crate) async fn delete(&self, path: &Path) -> Result<bool, StoreError> {
        match self.plain.delete(path).await {
            Ok(()) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(StoreError::backend("delete", path, error)),
        }
    }

    /// The directories in a directory.
    pub(crate) async fn directories(&self, path: &Path) -> Result<Vec<Path>, StoreError> {
        self.listing(path).await.map(|listing| listing.common_prefixes)
    }

    /// The objects in a directory, without those below its directories.
    pub(crate) async fn objects(&self, path: &Path) -> Result<Vec<Path>, StoreError> {
        let listing = self.listing(path).await?;
        Ok(listing.objects.into_iter().map(|meta| meta.location).collect())
    }

    async fn listing(&self, path: &Path) -> Result<object_store::ListResult, StoreError> {
        self.plain
            .list_with_delimiter(Some(path))
            .await
            .map_err(|error| StoreError::backend("list", path, error))
    }

    async fn write(
        &self,
        path: &Path,
        bytes: Bytes,
        mode: PutMode,
        durability: Durability,
    ) -> object_store::Result<()> {
        if let Some(leftovers) = &self.leftovers {
            leftovers.sweep_beside(path).await;
        }
        let objects = match durability {
            Durability::AtBarrier => &self.plain,
            Durability::AtOnce => &self.durable,
        };
        objects.put_opts(path, bytes.into(), PutOptions::from(mode)).await?;
        self.barrier.note_put();
        Ok(())
    }
}
