//! What lies beside a manifest and may be lost at any time: its profiles, and their bundles.
//!
//! Neither is durable or waited for by anything: a start without them is slower, and nothing else. Profiles are
//! replaced as a whole, and the last writer wins; the head start of the manifest ([`crate::HeadStart`]) with them. A
//! bundle is written once, and deleted when nobody names it.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use frazil_format::bounds::{MAX_BUNDLE_LEN, MAX_PROFILES_LEN};
use frazil_format::{BundleId, ManifestId, RootId};
use object_store::path::Path;

use crate::head_start::{BUNDLE_HEAD_LEN, Made};
use crate::images::optional;
use crate::long_upload::LongUpload;
use crate::objects::{Durability, PART_LEN};
use crate::pieces::Pieces;
use crate::{Store, StoreError, layout};

/// Parts of a bundle that are on their way at once.
const PARTS_AT_ONCE: usize = 4;

impl Store {
    /// The profiles of a manifest, as they were put; `None` if there are none. Asked for once.
    pub async fn profiles(&self, root: RootId, manifest: &ManifestId) -> Result<Option<Bytes>, StoreError> {
        let path = layout::profiles(root, manifest);
        optional(self.objects().read_once(&path, MAX_PROFILES_LEN).await)
    }

    /// Replaces the profiles of a manifest.
    pub async fn put_profiles(
        &self,
        root: RootId,
        manifest: &ManifestId,
        bytes: Bytes,
    ) -> Result<(), StoreError> {
        let path = layout::profiles(root, manifest);
        if self.is_read_only() {
            // Before the old head start is read for it.
            return Err(StoreError::ReadOnly { action: "write", path: path.to_string() });
        }
        let head_start = self.put_head_start(root, manifest, &bytes).await?;
        self.objects().put(&path, bytes, Durability::AtBarrier).await?;
        self.renew_starter(root, manifest, head_start).await;
        Ok(())
    }

    /// Deletes the profiles of a manifest and all its bundles; says whether there were profiles.
    pub async fn drop_profiles(&self, root: RootId, manifest: &ManifestId) -> Result<bool, StoreError> {
        let path = layout::profiles(root, manifest);
        // Buckets delete what is not there without a word.
        let had = self.objects().len(&path).await?.is_some();
        self.objects().delete(&path).await?;
        self.objects().delete(&layout::head_start(root, manifest)).await?;
        for id in self.bundles(root, manifest).await? {
            self.delete_bundle(root, manifest, &id).await?;
        }
        self.renew_starter(root, manifest, Bytes::new()).await;
        Ok(had)
    }

    /// A range of a bundle, as it comes. Asked for once.
    pub async fn bundle(
        &self,
        root: RootId,
        manifest: &ManifestId,
        id: &BundleId,
        range: Range<u64>,
    ) -> Result<Pieces, StoreError> {
        self.objects().stream(&layout::bundle(root, manifest, id), range).await
    }

    /// Writes a bundle, which is there when the writer has finished.
    pub fn write_bundle(&self, root: RootId, manifest: &ManifestId, id: &BundleId) -> BundleWriter {
        BundleWriter {
            store: self.clone(),
            manifest: *manifest,
            id: *id,
            path: layout::bundle(root, manifest, id),
            written: 0,
            head: BytesMut::new(),
            first: BytesMut::new(),
            upload: None,
        }
    }

    /// The bundles of a manifest.
    pub async fn bundles(&self, root: RootId, manifest: &ManifestId) -> Result<Vec<BundleId>, StoreError> {
        let listed = self.listed(&layout::bundles(root, manifest)).await?;
        Ok(listed.iter().filter_map(layout::id_of).collect())
    }

    /// Deletes a bundle; says whether it was there.
    pub async fn delete_bundle(
        &self,
        root: RootId,
        manifest: &ManifestId,
        id: &BundleId,
    ) -> Result<bool, StoreError> {
        self.objects().delete(&layout::bundle(root, manifest, id)).await
    }
}

/// A bundle on its way into a store. Dropping it gives it up.
pub struct BundleWriter {
    store: Store,
    manifest: ManifestId,
    id: BundleId,
    path: Path,
    written: u64,
    /// The part of it that goes into a head start.
    head: BytesMut,
    /// What may be all of it: a short bundle is one request.
    first: BytesMut,
    upload: Option<LongUpload>,
}

impl BundleWriter {
    /// Adds what follows.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        let (path, limit) = (self.path.to_string(), MAX_BUNDLE_LEN);
        self.written = self.written.saturating_add(bytes.len() as u64);
        if self.written > limit {
            return Err(StoreError::Oversized { path, len: self.written, limit });
        }
        let missing = (BUNDLE_HEAD_LEN as usize).saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        if self.upload.is_none() && self.first.len() + bytes.len() <= PART_LEN {
            self.first.extend_from_slice(&bytes);
            return Ok(());
        }
        let failed = |error| StoreError::backend("write", &self.path, error);
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let upload = none.insert(self.store.objects().start_long(&self.path).await?);
                let first = std::mem::take(&mut self.first).freeze();
                upload.put(first, PARTS_AT_ONCE).await.map_err(failed)?;
                upload
            }
        };
        upload.put(bytes, PARTS_AT_ONCE).await.map_err(failed)
    }

    /// All of it is there now.
    pub async fn finish(self) -> Result<(), StoreError> {
        let Self { store, manifest, id, path, written, head, first, upload } = self;
        match upload {
            None => store.objects().put(&path, first.freeze(), Durability::AtBarrier).await?,
            Some(upload) => {
                upload.finish().await.map_err(|error| StoreError::backend("write", &path, error))?;
            }
        }
        store.lately_made().add(Made { manifest, id, bundle_len: written, head: head.freeze() });
        Ok(())
    }
}

impl std::fmt::Debug for BundleWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BundleWriter").field("path", &self.path).field("written", &self.written).finish()
    }
}
