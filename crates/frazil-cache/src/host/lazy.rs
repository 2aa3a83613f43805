//! A store that is opened when it is first needed, so that a host cache answers from what it keeps while its
//! origin cannot be reached.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use frazil_format::{BundleId, ManifestId, RootId};
use frazil_store::{ErrorClass, ImageName, Reference, StoreError};
use futures::future::BoxFuture;

use super::catalog::about;
use super::joint::Joint;
use super::{BundleBytes, Catalog, HeadStart, HostError, ManifestBytes, Named, ProfileShelf};
use crate::{Served, Tier, TierError, Wanted};

/// What a store gives when it is open.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its chunks.
    pub tier: Arc<dyn Tier>,
    /// Its names and manifests.
    pub catalog: Arc<dyn Catalog>,
    /// What lies beside its manifests.
    pub profiles: Arc<dyn ProfileShelf>,
}

type Opening = BoxFuture<'static, Result<Opened, StoreError>>;

/// The store; whoever needs it while it is not open waits for one attempt to open it, and gets its error.
pub struct LazyStore {
    name: String,
    open: Box<dyn Fn() -> Opening + Send + Sync>,
    opened: Arc<OnceLock<Opened>>,
    attempts: Arc<Joint<(), Result<Opened, Arc<StoreError>>>>,
}

impl LazyStore {
    /// A store that `open` opens; `name` is how it prints.
    pub fn new(name: impl Into<String>, open: impl Fn() -> Opening + Send + Sync + 'static) -> Self {
        Self { name: name.into(), open: Box::new(open), opened: Arc::default(), attempts: Arc::default() }
    }

    /// Opens the store if it is not yet.
    ///
    /// # Errors
    /// The outcome of this attempt; the next caller starts another.
    pub async fn open(&self) -> Result<Opened, Arc<StoreError>> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened.clone());
        }
        let attempt = || {
            let (opening, place) = ((self.open)(), Arc::clone(&self.opened));
            async move {
                let opened = opening.await.map_err(Arc::new)?;
                Ok(place.get_or_init(|| opened).clone())
            }
        };
        self.attempts.join((), attempt).await.unwrap_or_else(|| {
            let source = std::io::Error::other("the attempt ended without an outcome");
            Err(Arc::new(StoreError::Io { action: "open", path: self.name.clone(), source }))
        })
    }

    async fn shelf(&self, of: &Reference) -> Result<Arc<dyn ProfileShelf>, HostError> {
        Ok(self.look_up(|| about(&of.manifest)).await?.profiles)
    }

    async fn look_up(&self, what: impl FnOnce() -> String) -> Result<Opened, HostError> {
        self.open().await.map_err(|source| HostError::LookUp { what: what(), class: class(&source), source })
    }
}

/// A store that is missing or makes no sense now may be there later; it says nothing of any chunk or name.
fn class(error: &StoreError) -> ErrorClass {
    match error.class() {
        ErrorClass::NotFound => ErrorClass::Transient,
        class => class,
    }
}

#[async_trait]
impl Tier for LazyStore {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        match self.open().await {
            Ok(opened) => opened.tier.get(wanted).await,
            Err(source) => {
                let (id, tier) = (wanted.id, self.name.clone());
                Err(match class(&source) {
                    ErrorClass::Denied => TierError::Denied { id, tier, source },
                    _ => TierError::Transient { id, tier, source },
                })
            }
        }
    }
}

#[async_trait]
impl Catalog for LazyStore {
    async fn reference(&self, tenant: &str, name: &ImageName) -> Result<Option<Named>, HostError> {
        let opened = self.look_up(|| format!("the name {name}")).await?;
        opened.catalog.reference(tenant, name).await
    }

    async fn manifest(&self, root: RootId, id: &ManifestId) -> Result<Bytes, HostError> {
        let opened = self.look_up(|| about(id)).await?;
        opened.catalog.manifest(root, id).await
    }

    async fn manifest_from(
        &self,
        root: RootId,
        id: &ManifestId,
        from: u64,
    ) -> Result<ManifestBytes, HostError> {
        let opened = self.look_up(|| about(id)).await?;
        opened.catalog.manifest_from(root, id, from).await
    }

    async fn in_use(&self, root: RootId, id: &ManifestId) {
        if let Ok(opened) = self.open().await {
            opened.catalog.in_use(root, id).await;
        }
    }
}

#[async_trait]
impl ProfileShelf for LazyStore {
    async fn profiles(&self, of: &Reference) -> Result<Option<Bytes>, HostError> {
        self.shelf(of).await?.profiles(of).await
    }

    async fn head_start(&self, of: &Reference) -> Result<HeadStart, HostError> {
        self.shelf(of).await?.head_start(of).await
    }

    async fn put_profiles(&self, of: &Reference, bytes: Bytes) -> Result<(), HostError> {
        self.shelf(of).await?.put_profiles(of, bytes).await
    }

    async fn bundle(
        &self,
        of: &Reference,
        id: &BundleId,
        range: Range<u64>,
    ) -> Result<BundleBytes, HostError> {
        self.shelf(of).await?.bundle(of, id, range).await
    }

    async fn put_bundle(&self, of: &Reference, id: &BundleId, bytes: BundleBytes) -> Result<(), HostError> {
        self.shelf(of).await?.put_bundle(of, id, bytes).await
    }

    async fn delete_bundle(&self, of: &Reference, id: &BundleId) -> Result<(), HostError> {
        self.shelf(of).await?.delete_bundle(of, id).await
    }
}

impl fmt::Display for LazyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.opened.get() {
            Some(opened) => opened.tier.fmt(f),
            None => write!(f, "{} (not open yet)", self.name),
        }
    }
}

impl fmt::Debug for LazyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyStore").field("name", &self.name).field("opened", &self.opened).finish()
    }
}
