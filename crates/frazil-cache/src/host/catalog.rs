//! The other question that an agent has: what a name stands for, and the manifest of it.

use std::fmt::{Debug, Display};

use async_trait::async_trait;
use bytes::Bytes;
use frazil_format::{ManifestId, RootId, SealedManifest};
use frazil_store::{Coming, ErrorClass, ImageName, Reference, Store};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};

use super::HostError;

/// Whether an answer is what the origin says now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Freshness {
    /// The origin said so just now.
    Fresh,
    /// The origin cannot be asked; it is what it said when it last could.
    LastKnown,
}

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Named {
    /// The manifest, and its root.
    pub reference: Reference,
    /// How sure that is.
    pub freshness: Freshness,
}

/// A manifest's bytes from some offset on, as they come. They are not verified: before all of them are here,
/// only their reader can do that.
pub struct ManifestBytes {
    /// The length of the whole manifest, in bytes.
    pub len: u64,
    /// What follows.
    pub bytes: BoxStream<'static, Result<Bytes, HostError>>,
}

impl ManifestBytes {
    /// What follows of a manifest that is on its way from a store.
    pub fn coming(id: &ManifestId, coming: Coming) -> Self {
        let id = *id;
        let Coming { len, bytes } = coming;
        Self { len, bytes: bytes.map_err(move |error| HostError::from_store(about(&id), error)).boxed() }
    }

    /// What a manifest that is here has from this byte on.
    pub fn of_whole(whole: &Bytes, from: u64) -> Self {
        let start = usize::try_from(from).unwrap_or(usize::MAX).min(whole.len());
        let rest = Some(whole.slice(start..)).filter(|rest| !rest.is_empty()).map(Ok);
        Self { len: whole.len() as u64, bytes: futures::stream::iter(rest).boxed() }
    }
}

impl Debug for ManifestBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManifestBytes").field("len", &self.len).finish_non_exhaustive()
    }
}

/// What knows names and manifests: a store, or what stands before one.
#[async_trait]
pub trait Catalog: Debug + Display + Send + Sync {
    /// What a tenant's name stands for; none if it stands for nothing.
    async fn reference(&self, tenant: &str, name: &ImageName) -> Result<Option<Named>, HostError>;

    /// A manifest's bytes, which are those that the id names.
    async fn manifest(&self, root: RootId, id: &ManifestId) -> Result<Bytes, HostError>;

    /// A manifest's bytes from this one on, as they come; in one piece from a catalog that can give them no
    /// other way.
    async fn manifest_from(
        &self,
        root: RootId,
        id: &ManifestId,
        from: u64,
    ) -> Result<ManifestBytes, HostError> {
        Ok(ManifestBytes::of_whole(&self.manifest(root, id).await?, from))
    }

    /// Says that an image is mounted, so that the store learns of it if its root is about to be deleted. Must
    /// be called at least once in every [`frazil_store::ROOT_WATCH_WINDOW`]. A catalog without a store has
    /// nobody to tell.
    async fn in_use(&self, _root: RootId, _id: &ManifestId) {}
}

#[async_trait]
impl Catalog for Store {
    async fn reference(&self, tenant: &str, name: &ImageName) -> Result<Option<Named>, HostError> {
        let found = Store::reference(self, tenant, name).await;
        let found = found.map_err(|error| HostError::from_store(format!("the name {name}"), error))?;
        Ok(found.map(|reference| Named { reference, freshness: Freshness::Fresh }))
    }

    async fn manifest(&self, root: RootId, id: &ManifestId) -> Result<Bytes, HostError> {
        let read = Store::manifest(self, root, id).await;
        verified(id, read.map_err(|error| HostError::from_store(about(id), error))?)
    }

    async fn manifest_from(
        &self,
        root: RootId,
        id: &ManifestId,
        from: u64,
    ) -> Result<ManifestBytes, HostError> {
        let coming = Store::manifest_from(self, root, id, from).await;
        let coming = coming.map_err(|error| HostError::from_store(about(id), error))?;
        Ok(ManifestBytes::coming(id, coming))
    }

    async fn in_use(&self, root: RootId, _: &ManifestId) {
        Store::in_use(self, root).await;
    }
}

/// The bytes, if they are the manifest that the id names.
pub(crate) fn verified(id: &ManifestId, bytes: Bytes) -> Result<Bytes, HostError> {
    match SealedManifest::verify(id, bytes.clone()) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(HostError::LookUp {
            what: about(id),
            class: ErrorClass::Corrupt,
            source: std::sync::Arc::new(error),
        }),
    }
}

/// A manifest, in words.
pub(crate) fn about(id: &ManifestId) -> String {
    format!("manifest {id}")
}
