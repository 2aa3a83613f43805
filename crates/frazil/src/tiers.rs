//! The tiers of a process, stacked: memory → disk → remote → origin, each only if it is wanted.
//!
//! A host cache and an agent without one are built by the same function. Every level is metered, so that what one
//! asks of the next are its misses.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anyhow::Result;
use frazil_cache::host::{
    AdmissionSource, Catalog, Counter, CounterSource, Guarded, KeptBundles, KeptCatalog, LazyStore, Meter,
    Metered, Near, Opened, OrLocal, ProfileShelf, ServerOptions,
};
use frazil_cache::resilience::stack::{self, OriginOptions, OriginStack};
use frazil_cache::{Disk, Memory, Nodes, Remote, Tier};
use frazil_store::{Store, StoreError, StoreLocation, StoreOptions};
use futures::FutureExt;

use crate::counters;
use crate::plan::Plan;
use crate::size::Size;

/// What may be kept, and where. Read through the configuration, which knows what else says it.
#[allow(dead_code, reason = "declared for the command line")]
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct TierArgs {
    /// Memory for sealed chunks
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<Size>,

    /// A directory for sealed chunks
    #[arg(long, value_name = "DIR")]
    disk_dir: Option<PathBuf>,

    /// Disk for sealed chunks; 0 keeps none
    #[arg(long, value_name = "SIZE")]
    disk_quota: Option<Size>,

    /// A fleet of memcached nodes: HOST:PORT,HOST:PORT,… or dns:NAME:PORT
    #[arg(long, value_name = "NODES")]
    remote: Option<Nodes>,
}

/// The tiers, and what is to be known of them.
pub(crate) struct Tiers {
    /// The first tier.
    pub(crate) tier: Arc<dyn Tier>,
    /// Names and manifests.
    pub(crate) catalog: Arc<dyn Catalog>,
    /// What lies beside manifests.
    pub(crate) shelf: Arc<dyn ProfileShelf>,
    /// The bundles that are kept here.
    pub(crate) bundles: Arc<KeptBundles>,
    meters: Vec<(String, Arc<Meter>)>,
    /// The disk tier, if there is one.
    pub(crate) disk: Option<Arc<Disk>>,
    kept: Option<Arc<KeptCatalog>>,
    counters: CounterSource,
}

impl Tiers {
    /// Stacks the tiers over a store. Nothing is asked of the store, nor of anybody else.
    pub(crate) async fn stack(plan: Plan, store: OriginStore) -> Self {
        let OriginStore { lazy, origin, store } = store;
        let mut meters = Vec::new();
        let mut metered = |name: &str, tier: Arc<dyn Tier>| -> Arc<Metered> {
            let meter = Arc::<Meter>::default();
            meters.insert(0, (name.to_owned(), Arc::clone(&meter)));
            Arc::new(Metered::new(tier, meter))
        };
        let mut top = metered("origin", Arc::clone(&lazy) as Arc<dyn Tier>);
        let remote = match plan.remote {
            None => None,
            Some((nodes, options)) => {
                let remote = Arc::new(Remote::start(Below(top), nodes, options).await);
                top = metered("remote", Arc::clone(&remote) as Arc<dyn Tier>);
                Some(remote)
            }
        };
        let disk = match plan.disk {
            Some(options) => {
                let disk = Arc::new(Disk::new(top, options));
                top = metered("disk", Arc::clone(&disk) as Arc<dyn Tier>);
                Some(disk)
            }
            None => None,
        };
        let memory = Arc::new(Memory::new(top, plan.memory_bytes));
        let top = metered("memory", Arc::clone(&memory) as Arc<dyn Tier>);
        let bundles = KeptBundles::new(Arc::clone(&lazy) as Arc<dyn ProfileShelf>, plan.bundles);
        let bundles = Arc::new(bundles.beside(near(&memory, disk.as_ref())));
        let shelf = or_local(Arc::clone(&bundles) as Arc<dyn ProfileShelf>, plan.profiles);
        let kept = plan
            .kept
            .map(|options| Arc::new(KeptCatalog::new(Arc::clone(&lazy) as Arc<dyn Catalog>, &options)));
        let catalog = kept.clone().map_or(lazy as Arc<dyn Catalog>, |kept| kept as Arc<dyn Catalog>);
        let admission: AdmissionSource = {
            let origin = Arc::clone(&origin);
            Arc::new(move || origin.get().map(|origin| origin.admission()))
        };
        let on_disk = disk.clone();
        let counters: CounterSource = Arc::new(move || {
            let mut all: Vec<Counter> = counters::of_memory(&memory.counts());
            all.extend(disk.iter().flat_map(|disk| counters::of_disk(&disk.counts())));
            all.extend(remote.iter().flat_map(|remote| counters::of_remote(&remote.counts())));
            // All from the first scrape on: a rate needs the zero before the first event.
            let of_origin = origin.get().map(|origin| origin.counts()).unwrap_or_default();
            all.extend(counters::of_origin(&of_origin));
            all.push(counters::of_roots(store.get()));
            all
        });
        Self {
            tier: top,
            catalog: Arc::new(Guarded::new(catalog, admission)),
            shelf,
            bundles,
            meters,
            disk: on_disk,
            kept,
            counters,
        }
    }

    /// What a host cache's statistics are made of.
    pub(crate) fn observe(&self, options: ServerOptions) -> ServerOptions {
        let kept = self.kept.clone();
        ServerOptions {
            profiles: Some(Arc::clone(&self.shelf)),
            meters: self.meters.clone(),
            counters: Some(Arc::clone(&self.counters)),
            catalog_stats: kept.map(|kept| Arc::new(move || kept.stats()) as _),
            ..options
        }
    }
}

/// Whether a chunk can be had without the network.
fn near(memory: &Arc<Memory>, disk: Option<&Arc<Disk>>) -> Near {
    let (memory, disk) = (Arc::clone(memory), disk.cloned());
    Arc::new(move |wanted| memory.has(wanted) || disk.as_ref().is_some_and(|disk| disk.has(wanted)))
}

/// A shelf, and a directory for the profiles that it does not take, if there is one.
pub(crate) fn or_local(shelf: Arc<dyn ProfileShelf>, directory: Option<PathBuf>) -> Arc<dyn ProfileShelf> {
    match directory {
        Some(directory) => Arc::new(OrLocal::new(shelf, directory)),
        None => shelf,
    }
}

/// A store, open or not yet, with all that guards an origin.
pub(crate) struct OriginStore {
    lazy: Arc<LazyStore>,
    origin: Arc<OnceLock<Arc<OriginStack>>>,
    store: Arc<OnceLock<Store>>,
}

impl OriginStore {
    /// A store that is opened when it is needed.
    pub(crate) fn at(location: StoreLocation, options: StoreOptions, origin: OriginOptions) -> Self {
        let name = format!("origin({location})");
        Self::opened_by(name, origin, move || {
            let (location, options) = (location.clone(), options.clone());
            async move { Store::open(&location, &options).await }.boxed()
        })
    }

    /// A store that is open.
    pub(crate) fn of(store: &Store, options: OriginOptions) -> Self {
        let name = format!("origin({store})");
        let store = store.clone();
        Self::opened_by(name, options, move || std::future::ready(Ok(store.clone())).boxed())
    }

    fn opened_by(
        name: String,
        options: OriginOptions,
        open: impl Fn() -> futures::future::BoxFuture<'static, Result<Store, StoreError>> + Send + Sync + 'static,
    ) -> Self {
        let origin = Arc::<OnceLock<Arc<OriginStack>>>::default();
        let place = Arc::clone(&origin);
        let store = Arc::<OnceLock<Store>>::default();
        let known = Arc::clone(&store);
        let lazy = LazyStore::new(name, move || {
            let (opening, place, options) = (open(), Arc::clone(&place), options.clone());
            let known = Arc::clone(&known);
            async move {
                let store = opening.await?;
                let store = known.get_or_init(|| store).clone();
                let guarded = place.get_or_init(|| stack::origin(store.clone(), &options));
                let tier = Arc::clone(guarded) as Arc<dyn Tier>;
                Ok(Opened { tier, catalog: Arc::new(store.clone()), profiles: Arc::new(store) })
            }
            .boxed()
        });
        Self { lazy: Arc::new(lazy), origin, store }
    }

    /// The store, to be opened ahead of its first use.
    pub(crate) fn lazy(&self) -> Arc<LazyStore> {
        Arc::clone(&self.lazy)
    }
}

/// A shared tier where a tier of its own is asked for.
#[derive(Debug)]
struct Below(Arc<Metered>);

#[async_trait::async_trait]
impl Tier for Below {
    async fn get(
        &self,
        wanted: &frazil_cache::Wanted,
    ) -> Result<frazil_cache::Served, frazil_cache::TierError> {
        self.0.get(wanted).await
    }
}

impl std::fmt::Display for Below {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
