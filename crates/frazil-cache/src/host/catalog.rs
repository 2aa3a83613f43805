//! The other question that an agent has: what a name stands for, and the manifest of it.

use std::fmt::{Debug, Display};

use async_trait::async_trait;
use bytes::Bytes;
use frazil_format::{ManifestId, RootId, SealedManifest};
use frazil_store::{ErrorClass, ImageName, Reference, Store};

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

/// What knows names and manifests: a store, or what stands before one.
#[async_trait]
pub trait Catalog: Debug + Display + Send + Sync {
    /// What a tenant's name stands for; none if it is nobody's.
    async fn reference(&self, tenant: &str, name: &ImageName) -> Result<Option<Named>, HostError>;

    /// A manifest's bytes, which are those that the id names.
    async fn manifest(&self, root: RootId, id: &ManifestId) -> Result<Bytes, HostError>;

    /// Says that an image is mounted, so that the store learns of it if its root is about to be deleted. To be said
    /// at least once in every [`frazil_store::ROOT_WATCH_WINDOW`]. A catalog without a store has nobody to tell.
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
