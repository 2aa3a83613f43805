//! Where the profiles and bundles of manifests are kept: a store, a host cache, or a directory of this host's own.
//!
//! All of it is sealed, padded and authenticated by whoever has the manifest's key; whoever keeps it can
//! neither read nor change it, and a start goes on without what cannot be had.

use std::fmt::{Debug, Display};
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use frazil_format::BundleId;
use frazil_store::{Reference, Store};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};

use super::{BundleHead, HostError};
use crate::Wanted;

/// Bytes of a bundle, as they come.
pub type BundleBytes = BoxStream<'static, Result<Bytes, HostError>>;

/// All of them in one piece; nothing is copied if they come in one.
pub(super) async fn whole(bytes: BundleBytes) -> Result<Bytes, HostError> {
    let pieces: Vec<Bytes> = bytes.try_collect().await?;
    Ok(match <[Bytes; 1]>::try_from(pieces) {
        Ok([piece]) => piece,
        Err(pieces) => pieces.concat().into(),
    })
}

/// What a start begins with.
#[derive(Debug)]
pub struct HeadStart {
    /// The profiles, as they were put; none if there are none.
    pub profiles: Option<Bytes>,
    /// The beginning of the bundle that was made last.
    pub head: Option<BundleHead>,
}

/// What keeps the profiles and the bundles of manifests.
#[async_trait]
pub trait ProfileShelf: Debug + Display + Send + Sync {
    /// The profiles of a manifest, as they were put; none if there are none.
    async fn profiles(&self, of: &Reference) -> Result<Option<Bytes>, HostError>;

    /// The profiles of a manifest and, behind them, how a bundle begins: for a host that has nothing of the
    /// image.
    async fn head_start(&self, of: &Reference) -> Result<HeadStart, HostError> {
        Ok(HeadStart { profiles: self.profiles(of).await?, head: None })
    }

    /// Replaces the profiles of a manifest.
    async fn put_profiles(&self, of: &Reference, bytes: Bytes) -> Result<(), HostError>;

    /// A range of a bundle. Whoever reads it authenticates it.
    async fn bundle(
        &self,
        of: &Reference,
        id: &BundleId,
        range: Range<u64>,
    ) -> Result<BundleBytes, HostError>;

    /// Writes a bundle. If the stream fails, this fails with the same error, and nothing stays. A shelf that
    /// takes no bundles says so before it asks for a byte.
    async fn put_bundle(&self, of: &Reference, id: &BundleId, bytes: BundleBytes) -> Result<(), HostError>;

    /// Deletes a bundle, if it is there.
    async fn delete_bundle(&self, of: &Reference, id: &BundleId) -> Result<(), HostError>;

    /// The profiles of a manifest that only this host has; they go before all others.
    async fn own_profiles(&self, of: &Reference) -> Option<Bytes> {
        let _ = of;
        None
    }

    /// Whether the tiers of this host have a chunk: then it comes as quickly as out of a bundle.
    async fn is_near(&self, wanted: &Wanted) -> bool {
        let _ = wanted;
        false
    }
}

fn failed(
    what: &'static str,
    of: &Reference,
) -> impl Fn(frazil_store::StoreError) -> HostError + Send + 'static {
    let what = format!("the {what} of manifest {}", of.manifest);
    move |error| HostError::from_store(what.clone(), error)
}

/// How a bundle begins, as a store has sent it.
pub fn head_of_store(of: &Reference, head: frazil_store::BundleHead) -> BundleHead {
    let frazil_store::BundleHead { id, bundle_len, bytes } = head;
    BundleHead { id, bundle_len, bytes: bytes.map_err(failed("head start", of)).boxed() }
}

#[async_trait]
impl ProfileShelf for Store {
    async fn profiles(&self, of: &Reference) -> Result<Option<Bytes>, HostError> {
        Self::profiles(self, of.root, &of.manifest).await.map_err(failed("profiles", of))
    }

    async fn head_start(&self, of: &Reference) -> Result<HeadStart, HostError> {
        let found = Self::head_start(self, of.root, &of.manifest).await.map_err(failed("head start", of))?;
        Ok(match found {
            Some(found) => HeadStart {
                profiles: Some(found.profiles),
                head: found.head.map(|head| head_of_store(of, head)),
            },
            None => HeadStart { profiles: None, head: None },
        })
    }

    async fn put_profiles(&self, of: &Reference, bytes: Bytes) -> Result<(), HostError> {
        Self::put_profiles(self, of.root, &of.manifest, bytes).await.map_err(failed("profiles", of))
    }

    async fn bundle(
        &self,
        of: &Reference,
        id: &BundleId,
        range: Range<u64>,
    ) -> Result<BundleBytes, HostError> {
        let failed = failed("bundle", of);
        let pieces = Self::bundle(self, of.root, &of.manifest, id, range).await.map_err(&failed)?;
        Ok(pieces.map_err(failed).boxed())
    }

    async fn put_bundle(
        &self,
        of: &Reference,
        id: &BundleId,
        mut bytes: BundleBytes,
    ) -> Result<(), HostError> {
        let failed = failed("bundle", of);
        if self.is_read_only() {
            let path = of.manifest.to_string();
            return Err(failed(frazil_store::StoreError::ReadOnly { action: "write a bundle of", path }));
        }
        let mut writer = self.write_bundle(of.root, &of.manifest, id);
        while let Some(piece) = bytes.try_next().await? {
            writer.write(piece).await.map_err(&failed)?;
        }
        writer.finish().await.map_err(failed)
    }

    async fn delete_bundle(&self, of: &Reference, id: &BundleId) -> Result<(), HostError> {
        let deleted = Self::delete_bundle(self, of.root, &of.manifest, id).await;
        deleted.map(|_| ()).map_err(failed("bundle", of))
    }
}
