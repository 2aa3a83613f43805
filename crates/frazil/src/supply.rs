//! Where a mounted image comes from: a store through tiers of this process, or the host cache.
//!
//! Invariant: what was read while the store was opened is not asked for again.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use frazil_cache::host::{
    BundleHead, Catalog, Dial, Freshness, HostCache, HostCacheOptions, ManifestBytes, ProfileShelf,
    head_of_store,
};
use frazil_cache::resilience::stack::OriginOptions;
use frazil_cache::{Disk, Tier};
use frazil_mount::SealedArrival;
use frazil_mount::profile::Sharing;
use frazil_store::{Beside, Coming, ImageName, Published, Reference, Store};

use crate::cli::Global;
use crate::config::keys;
use crate::failure::Advise;
use crate::plan::{self, Plan};
use crate::tiers::{OriginStore, Tiers, or_local};
use crate::wiring::{find, location, store_options};

/// Where a mounted image's manifest and chunks come from.
pub(crate) enum Supply {
    /// From a store, through tiers of this process.
    Store(Box<Embedded>),
    /// From the host cache: nothing else is asked, and no credentials are needed.
    HostCache(Arc<HostCache>),
}

/// A store, and the tiers that this process stacks over it.
pub(crate) struct Embedded {
    store: Store,
    plan: Plan,
    origin: OriginOptions,
    /// What was read while the store was opened.
    first: Option<First>,
    /// How long that took.
    way: Option<Duration>,
}

/// The image that a store was opened for.
struct First {
    name: ImageName,
    reference: Reference,
    /// What its manifest's first reader takes: it comes once.
    manifest: Mutex<Option<Coming>>,
    profiles: Option<Option<Bytes>>,
    /// How a bundle begins, for whoever stacks the tiers.
    head: Mutex<Option<BundleHead>>,
}

impl First {
    fn new(name: ImageName, published: Published) -> Self {
        let Published { reference, manifest, profiles, head } = published;
        let head = head.map(|head| head_of_store(&reference, head));
        Self { name, reference, manifest: Mutex::new(Some(manifest)), profiles, head: Mutex::new(head) }
    }
}

impl Embedded {
    fn new(global: &Global, store: Store, plan: Plan) -> Result<Self> {
        let origin = plan::origin(global.config()?, store.location())?;
        Ok(Self { store, plan, origin, first: None, way: None })
    }

    /// What is known already of this name.
    fn known(&self, name: &str) -> Option<(ImageName, Reference)> {
        let first = self.first.as_ref().filter(|first| first.name.as_str() == name)?;
        Some((first.name.clone(), first.reference))
    }

    /// What is known already of this image.
    fn first(&self, reference: &Reference) -> Option<&First> {
        self.first.as_ref().filter(|first| first.reference == *reference)
    }

    async fn manifest(&self, reference: &Reference) -> Result<ManifestBytes> {
        let here = self.first(reference).and_then(|first| taken(&first.manifest));
        let Reference { root, manifest: id } = reference;
        let coming = match here {
            Some(coming) => coming,
            None => self.store.manifest_from(*root, id, 0).await?,
        };
        Ok(ManifestBytes::coming(id, coming))
    }
}

fn taken<T>(once: &Mutex<Option<T>>) -> Option<T> {
    once.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Supply {
    /// The host cache at this socket, perhaps reached through another process; if there is none, the store,
    /// of which this image will be wanted, and perhaps what earlier starts of it read.
    pub(crate) async fn open(
        global: &Global,
        host_cache: Option<&Path>,
        dial: Option<Dial>,
        name: &str,
        is_profiled: bool,
    ) -> Result<Self> {
        let Some(socket) = host_cache else { return Self::open_store(global, name, is_profiled).await };
        let options = HostCacheOptions { patience: global.config()?.value(&keys::PATIENCE)?.0 };
        Ok(Self::HostCache(Arc::new(HostCache::reached_by(dial, socket, options))))
    }

    /// The store, opened while the image's manifest is on its way.
    async fn open_store(global: &Global, name: &str, is_profiled: bool) -> Result<Self> {
        let (location, options) = (location(global)?, store_options(global)?);
        let plan = Plan::embedded(global.config()?, &location)?;
        let beside = if is_profiled { plan.beside_manifests() } else { Beside::Profiles };
        let name: ImageName = name.parse()?;
        let asked = Instant::now();
        let (store, published) =
            Store::open_with(&location, &options, &global.tenant()?, &name, beside).await?;
        let way = Some(asked.elapsed());
        let first = published?.map(|published| First::new(name, published));
        Ok(Self::Store(Box::new(Embedded { first, way, ..Embedded::new(global, store, plan)? })))
    }

    /// This store.
    pub(crate) fn of_store(global: &Global, store: Store) -> Result<Self> {
        let plan = Plan::embedded(global.config()?, store.location())?;
        Ok(Self::Store(Box::new(Embedded::new(global, store, plan)?)))
    }

    pub(crate) async fn find(&self, tenant: &str, name: &str) -> Result<(ImageName, Reference)> {
        let cache = match self {
            Self::Store(embedded) => match embedded.known(name) {
                Some(known) => return Ok(known),
                None => return find(&embedded.store, tenant, name).await,
            },
            Self::HostCache(cache) => cache,
        };
        let name: ImageName = name.parse()?;
        let Some(named) = cache.reference(tenant, &name).await? else {
            return Err(anyhow!("there is no image {name} in the store of {cache}"))
                .hint("frazil images --store STORE lists the names of a store");
        };
        if named.freshness == Freshness::LastKnown {
            tracing::warn!(%name, "the store cannot be reached: the image is the last one known by this name");
        }
        Ok((name, named.reference))
    }

    /// The image's manifest, as soon as its front is here.
    pub(crate) async fn manifest(&self, reference: &Reference, deadline: Duration) -> Result<SealedArrival> {
        let coming = match self {
            Self::Store(embedded) => embedded.manifest(reference).await?,
            Self::HostCache(cache) => cache.manifest_from(reference.root, &reference.manifest, 0).await?,
        };
        let begun = SealedArrival::begin(self.catalog(), *reference, coming, deadline).await;
        begun.with_context(|| format!("manifest {}", reference.manifest))
    }

    /// What came of the profiles beside the manifest, if they were asked for.
    pub(crate) fn profiles(&self, reference: &Reference) -> Option<Option<Bytes>> {
        match self {
            Self::Store(embedded) => embedded.first(reference)?.profiles.clone(),
            Self::HostCache(_) => None,
        }
    }

    /// How long it took to learn of the first image, if the store was asked.
    pub(crate) fn way(&self) -> Option<Duration> {
        match self {
            Self::Store(embedded) => embedded.way,
            Self::HostCache(_) => None,
        }
    }

    pub(crate) fn catalog(&self) -> Arc<dyn Catalog> {
        match self {
            Self::Store(embedded) => Arc::new(embedded.store.clone()),
            Self::HostCache(cache) => Arc::clone(cache) as Arc<dyn Catalog>,
        }
    }

    /// What lies beside manifests; the tiers above have no part in that.
    pub(crate) fn shelf(&self) -> Arc<dyn ProfileShelf> {
        match self {
            Self::Store(embedded) => {
                or_local(Arc::new(embedded.store.clone()), embedded.plan.profiles.clone())
            }
            Self::HostCache(cache) => Arc::clone(cache) as _,
        }
    }

    pub(crate) async fn sources(&self) -> Sources {
        match self {
            Self::Store(embedded) => {
                let store = OriginStore::of(&embedded.store, embedded.origin.clone());
                let Tiers { tier, shelf, bundles, disk, .. } =
                    Tiers::stack(embedded.plan.clone(), store).await;
                if let Some(first) = &embedded.first
                    && let Some(head) = taken(&first.head)
                {
                    bundles.expect(&first.reference, head);
                }
                tracing::info!(stack = %tier, "reading without a host cache");
                let sharing = if disk.is_some() { Sharing::Kept } else { Sharing::Alone };
                Sources { tier, shelf, disk, sharing }
            }
            Self::HostCache(cache) => {
                let (tier, shelf) = (Arc::clone(cache) as Arc<dyn Tier>, Arc::clone(cache) as _);
                Sources { tier, shelf, disk: None, sharing: Sharing::Kept }
            }
        }
    }
}

/// Where chunks come from, and what lies beside manifests.
pub(crate) struct Sources {
    pub(crate) tier: Arc<dyn Tier>,
    pub(crate) shelf: Arc<dyn ProfileShelf>,
    pub(crate) disk: Option<Arc<Disk>>,
    pub(crate) sharing: Sharing,
}
