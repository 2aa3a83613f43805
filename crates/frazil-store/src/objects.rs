//! Objects by path: the few things this house asks of an object store, and the rules they all keep.
//!
//! * A read is bounded before its first byte.
//! * A put is atomic, whole or absent, and says how soon it must be durable.
//! * A present chunk of another length is what a power cut left of it, and counts as absent.
//! * A record is replaced only if it is the one that was read: by a conditional put, or in a directory under a lock. No
//!   two versions of such a record are equal (each has a revision or a stamp), so that none can be taken for another.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutResult, UpdateVersion, WriteMultipart,
};

use crate::barrier::Barrier;
use crate::coming::Coming;
use crate::exclusion::Exclusion;
use crate::leftovers::Leftovers;
use crate::long_upload::LongUpload;
use crate::mutation::{self, Mutation};
use crate::pieces::{self, Pieces};
use crate::{ErrorClass, StoreError};

/// What a put found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Put {
    /// It was absent, and was written.
    New,
    /// It was there.
    Present,
}

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

/// What a conditional write found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Swap {
    /// The object was as expected, and is now this version.
    Done(Version),
    /// It was not; nothing was written.
    Conflict,
}

/// Which of its contents an object has: what a conditional write expects to find.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Version {
    /// The whole content, which nothing else ever equals.
    content: Bytes,
    e_tag: Option<String>,
    number: Option<String>,
}

impl Version {
    fn of(content: Bytes, put: PutResult) -> Self {
        Self { content, e_tag: put.e_tag, number: put.version }
    }
}

/// A small object with what a conditional write and an age need to know of it.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) content: Bytes,
    pub(crate) version: Version,
    /// When it was written, by the store's clock, in milliseconds since 1970.
    pub(crate) written_ms: i64,
}

/// An object in a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listed {
    pub(crate) path: Path,
    pub(crate) len: u64,
}

/// An object store, opened.
#[derive(Debug)]
pub(crate) struct Objects {
    /// Puts are durable after the barrier. Everything but durable puts goes this way.
    pub(crate) plain: Arc<dyn ObjectStore>,
    /// Puts are durable when they return.
    pub(crate) durable: Arc<dyn ObjectStore>,
    /// For reads that the caller retries, so that nothing below may retry too.
    pub(crate) once: Arc<dyn ObjectStore>,
    /// How long an answer and each piece of it is waited for; for ever where the kernel answers.
    pub(crate) stall: Option<Duration>,
    pub(crate) barrier: Barrier,
    /// For stores where killed writers leave something.
    pub(crate) leftovers: Option<Leftovers>,
    /// For stores without conditional puts of their own.
    pub(crate) exclusion: Option<Exclusion>,
}

impl Objects {
    /// Whether these are files of a directory.
    fn is_directory(&self) -> bool {
        self.leftovers.is_some()
    }

    /// The object's length in bytes; `None` if it is not there.
    pub(crate) async fn len(&self, path: &Path) -> Result<Option<u64>, StoreError> {
        match self.within_stall("look at", path, self.plain.head(path)).await? {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(StoreError::backend("look at", path, error)),
        }
    }

    /// When the object was written, by the store's clock, in milliseconds since 1970.
    pub(crate) async fn written_ms(&self, path: &Path) -> Result<i64, StoreError> {
        let meta = self.within_stall("look at", path, self.plain.head(path)).await?;
        let meta = meta.map_err(|error| StoreError::backend("look at", path, error))?;
        Ok(meta.last_modified.timestamp_millis())
    }

    /// The whole object, which must not be longer than `limit` bytes.
    pub(crate) async fn read(&self, path: &Path, limit: u64) -> Result<Bytes, StoreError> {
        self.read_from(&self.plain, path, limit).await
    }

    /// As [`Objects::read`], for a caller that retries.
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
        self.body(answer, path, limit).await
    }

    /// The whole object, and which version of it that is.
    pub(crate) async fn snapshot(&self, path: &Path, limit: u64) -> Result<Snapshot, StoreError> {
        let failed = |error| StoreError::backend("read", path, error);
        let answer = self.within_stall("read", path, self.plain.get(path)).await?.map_err(failed)?;
        let (e_tag, number) = (answer.meta.e_tag.clone(), answer.meta.version.clone());
        let written_ms = answer.meta.last_modified.timestamp_millis();
        let content = self.body(answer, path, limit).await?;
        Ok(Snapshot { version: Version { content: content.clone(), e_tag, number }, content, written_ms })
    }

    async fn body(&self, answer: GetResult, path: &Path, limit: u64) -> Result<Bytes, StoreError> {
        let failed = |error| StoreError::backend("read", path, error);
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

    /// The object from this byte on, as it comes, with its whole length; not if it is longer than `limit` bytes.
    pub(crate) async fn stream_from(&self, path: &Path, from: u64, limit: u64) -> Result<Coming, StoreError> {
        self.coming(&self.plain, path, (from > 0).then_some(GetRange::Offset(from)), limit).await
    }

    /// The whole object as it comes, for a caller that can do without it; not if it is longer than `limit`
    /// bytes.
    pub(crate) async fn stream_once(&self, path: &Path, limit: u64) -> Result<Coming, StoreError> {
        self.coming(&self.once, path, None, limit).await
    }

    /// As [`Objects::stream_once`], but only its first bytes, or all that there are; `limit` is for the whole
    /// object.
    pub(crate) async fn stream_begin_once(
        &self,
        path: &Path,
        len: u64,
        limit: u64,
    ) -> Result<Coming, StoreError> {
        self.coming(&self.once, path, Some(GetRange::Bounded(0..len)), limit).await
    }

    async fn coming(
        &self,
        objects: &Arc<dyn ObjectStore>,
        path: &Path,
        range: Option<GetRange>,
        limit: u64,
    ) -> Result<Coming, StoreError> {
        let failed = {
            let path = path.clone();
            move |error| StoreError::backend("read", &path, error)
        };
        let options = GetOptions { range, ..GetOptions::default() };
        let answer = self.within_stall("read", path, objects.get_opts(path, options)).await?;
        let answer = answer.map_err(failed.clone())?;
        let len = answer.meta.size;
        if len > limit {
            return Err(StoreError::Oversized { path: path.to_string(), len, limit });
        }
        let range = answer.range.clone();
        let bytes = match answer.payload {
            GetResultPayload::File(file, _) => pieces::of_file(file, range, path),
            GetResultPayload::Stream(coming) => {
                pieces::within_stall(coming.map_err(failed).boxed(), self.stall, path)
            }
        };
        Ok(Coming { len, bytes })
    }

    /// Writes a long object part by part. Not durable, and not there before it is finished.
    pub(crate) async fn start_long(&self, path: &Path) -> Result<LongUpload, StoreError> {
        if let Some(leftovers) = &self.leftovers {
            leftovers.sweep_beside(path).await;
        }
        let started = self.plain.put_multipart(path).await;
        started
            .map(|upload| LongUpload::new(WriteMultipart::new_with_chunk_size(upload, PART_LEN)))
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
            .map(drop)
            .map_err(|error| StoreError::backend("write", path, error))
    }

    /// Writes the object, durably, unless there is one, whatever it holds.
    pub(crate) async fn create(&self, path: &Path, bytes: Bytes) -> Result<Put, StoreError> {
        match self.write(path, bytes, PutMode::Create, Durability::AtOnce).await {
            Ok(_) => Ok(Put::New),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Put::Present),
            Err(error) => Err(StoreError::backend("write", path, error)),
        }
    }

    /// Writes a record where nobody else does meanwhile, if it is still the version that was expected.
    async fn swap_alone(&self, path: &Path, expected: &Version, content: Bytes) -> Result<Swap, StoreError> {
        match self.snapshot(path, expected.content.len() as u64).await {
            Ok(found) if found.content == expected.content => {
                let put = self.write(path, content.clone(), PutMode::Overwrite, Durability::AtOnce);
                let put = put.await.map_err(|error| StoreError::backend("write", path, error))?;
                Ok(Swap::Done(Version::of(content, put)))
            }
            Ok(_) | Err(StoreError::NotFound { .. } | StoreError::Oversized { .. }) => Ok(Swap::Conflict),
            Err(error) => Err(error),
        }
    }

    /// Writes a record, durably, if it is still the version that was expected; `None` expects it to be absent.
    ///
    /// An earlier attempt at the same write, whose answer was lost, counts as this one.
    pub(crate) async fn swap(
        self: &Arc<Self>,
        path: &Path,
        expected: Option<&Version>,
        content: Bytes,
    ) -> Result<Swap, StoreError> {
        let mode = match (expected, &self.exclusion) {
            (None, _) => PutMode::Create,
            (Some(_), _) if mutation::is(Mutation::BlindSwap) => PutMode::Overwrite,
            (Some(version), None) => {
                let Version { e_tag, number, .. } = version.clone();
                PutMode::Update(UpdateVersion { e_tag, version: number })
            }
            (Some(version), Some(exclusion)) => {
                let (objects, path, version) = (Arc::clone(self), path.clone(), version.clone());
                let swap = async move { objects.swap_alone(&path, &version, content).await };
                return exclusion.alone(swap).await;
            }
        };
        match self.write(path, content.clone(), mode, Durability::AtOnce).await {
            Ok(put) => return Ok(Swap::Done(Version::of(content, put))),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. })
                if expected.is_some() => {}
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
            Err(error) => return Err(StoreError::backend("write", path, error)),
        }
        match self.snapshot(path, content.len() as u64).await {
            Ok(found) if found.content == content => Ok(Swap::Done(found.version)),
            Ok(_) | Err(StoreError::NotFound { .. } | StoreError::Oversized { .. }) => Ok(Swap::Conflict),
            Err(error) => Err(error),
        }
    }

    /// Writes an object whose content is decided by its path, unless it is there; durable at the barrier,
    /// whoever wrote it. One of another length is what a power cut left, and is replaced. If nobody knows
    /// what came of the first attempt, a second one follows that replaces, and so may be repeated.
    pub(crate) async fn put_if_absent(&self, path: &Path, bytes: Bytes) -> Result<Put, StoreError> {
        let len = bytes.len() as u64;
        let mut found = self.len(path).await?;
        if found.is_none() {
            match self.write(path, bytes.clone(), PutMode::Create, Durability::AtBarrier).await {
                Ok(_) => return Ok(Put::New),
                // Somebody was faster.
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
                Err(error) => {
                    let error = StoreError::backend("write", path, error);
                    if error.class() != ErrorClass::Transient {
                        return Err(error);
                    }
                    tracing::debug!(%path, %error, "writing it once more");
                }
            }
            found = self.len(path).await?;
        }
        if found == Some(len) {
            self.barrier.note_put();
            return Ok(Put::Present);
        }
        if let Some(found) = found {
            tracing::warn!(%path, expected = len, found, "replacing an object of the wrong length");
        }
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

    /// Deletes a record that others may be replacing.
    pub(crate) async fn delete_record(self: &Arc<Self>, path: &Path) -> Result<bool, StoreError> {
        let Some(exclusion) = &self.exclusion else { return self.delete(path).await };
        let (objects, path) = (Arc::clone(self), path.clone());
        exclusion.alone(async move { objects.delete(&path).await }).await
    }

    /// Deletes objects, in as few requests as the store allows; those that are gone already are no error.
    pub(crate) async fn delete_all(&self, paths: Vec<Path>) -> Result<(), StoreError> {
        let mut outcomes = self.plain.delete_stream(stream::iter(paths.into_iter().map(Ok)).boxed());
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(StoreError::backend("delete", "objects", error)),
            }
        }
        Ok(())
    }

    /// Everything below a directory, as deep as it goes.
    pub(crate) fn below(&self, path: &Path) -> BoxStream<'static, Result<Listed, StoreError>> {
        let directory = path.clone();
        self.plain
            .list(Some(path))
            .map(move |found| match found {
                Ok(meta) => Ok(Listed { path: meta.location, len: meta.size }),
                Err(error) => Err(StoreError::backend("list", &directory, error)),
            })
            .boxed()
    }

    /// What is picked of everything below a directory; nothing if the directory is not there.
    pub(crate) async fn all_below<T, C: Default + Extend<T>>(
        &self,
        path: &Path,
        mut pick: impl FnMut(Listed) -> Option<T>,
    ) -> Result<C, StoreError> {
        let (mut all, mut picked, mut has_begun) = (self.below(path), C::default(), false);
        while let Some(listed) = all.next().await {
            match listed {
                Ok(listed) => picked.extend(pick(listed)),
                // Once the listing has begun this is an error: half a list must not pass for a whole one.
                Err(StoreError::NotFound { .. }) if !has_begun => break,
                Err(error) => return Err(error),
            }
            has_begun = true;
        }
        Ok(picked)
    }

    /// Copies an object as it is, on the store's side, over one that may be lost.
    pub(crate) async fn copy(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        if self.is_directory() {
            // A copy in a directory is a link that rename(2) puts into place. Where the place has the same
            // file already, rename(2) does nothing and leaves the link behind.
            self.delete(to).await?;
        }
        let copied = self.durable.copy(from, to).await;
        copied.map_err(|error| StoreError::backend("copy", from, error))?;
        self.barrier.note_put();
        Ok(())
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
    ) -> object_store::Result<PutResult> {
        if let Some(leftovers) = &self.leftovers {
            leftovers.sweep_beside(path).await;
        }
        let objects = match durability {
            Durability::AtBarrier => &self.plain,
            Durability::AtOnce => &self.durable,
        };
        let put = objects.put_opts(path, bytes.into(), PutOptions::from(mode)).await?;
        self.barrier.note_put();
        Ok(put)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use object_store::path::Path;

    use super::Durability;
    use crate::{Store, StoreLocation};

    #[tokio::test]
    async fn a_copy_that_is_made_again_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let location = StoreLocation::directory(directory.path()).unwrap();
        let store = Store::open_or_create(&location, &Default::default()).await.unwrap();
        let [from, to] = ["from/all", "to/all"].map(Path::from);
        store.objects().put(&from, Bytes::from_static(b"a profile"), Durability::AtBarrier).await.unwrap();
        for _ in 0..3 {
            store.objects().copy(&from, &to).await.unwrap();
        }
        assert_eq!(std::fs::read(directory.path().join("to/all")).unwrap(), b"a profile");
        assert_eq!(std::fs::read_dir(directory.path().join("to")).unwrap().count(), 1);
    }
}
