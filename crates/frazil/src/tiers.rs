//! The tiers of a process, stacked: memory → disk → remote → origin, each only if it is wanted.
//!
//! A host cache and an agent without one are built by the same function. Every level is metered, so that what one
//! asks of the next are its misses.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use frazil_cache::host::{
    AdmissionSource, Catalog, Counter, CounterSource, Guarded, KeptCatalog, KeptOptions, LazyStore, Meter,
    Metered, Opened, ServerOptions,
};
use frazil_cache::resilience::stack::{self, OriginOptions, OriginStack};
use frazil_cache::{Disk, DiskOptions, Memory, Nodes, Remote, RemoteOptions, Tier};
use frazil_store::{Store, StoreError, StoreLocation, StoreOptions};
use futures::FutureExt;

use crate::counters;
use crate::places;
use crate::size::Size;

/// Memory of a host cache, unless said otherwise: a thousand chunks of the default size.
const HOST_MEMORY_BYTES: u64 = 512 << 20;

/// Disk of a host cache, unless said otherwise.
const HOST_DISK_BYTES: u64 = 10 << 30;

/// What may be kept, and where.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct TierArgs {
    /// Memory for sealed chunks [default: 512M]
    #[arg(long, value_name = "SIZE", env = "FRAZIL_MEMORY_BUDGET", hide_env_values = true)]
    memory_budget: Option<Size>,

    /// A directory for sealed chunks, names and manifests [default: $XDG_CACHE_HOME/frazil]
    #[arg(long, value_name = "DIR", env = "FRAZIL_DISK_DIR", hide_env_values = true)]
    disk_dir: Option<PathBuf>,

    /// Disk for sealed chunks; 0 keeps none, and only names and manifests [default: 10G]
    #[arg(long, value_name = "SIZE", env = "FRAZIL_DISK_QUOTA", hide_env_values = true)]
    disk_quota: Option<Size>,

    /// A fleet of memcached nodes: HOST:PORT,HOST:PORT,… or dns:NAME:PORT
    #[arg(long, value_name = "NODES", env = "FRAZIL_REMOTE", hide_env_values = true)]
    remote: Option<Nodes>,
}

/// Which tiers there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    memory_bytes: u64,
    directory: Option<PathBuf>,
    disk_bytes: u64,
    remote: Option<Nodes>,
}

impl TierArgs {
    /// The tiers of a host cache.
    pub(crate) fn plan(&self) -> Plan {
        Plan {
            memory_bytes: self.memory_budget.map_or(HOST_MEMORY_BYTES, |size| size.0),
            directory: self.disk_dir.clone().or_else(places::cache),
            disk_bytes: self.disk_quota.map_or(HOST_DISK_BYTES, |size| size.0),
            remote: self.remote.clone(),
        }
    }
}

/// The tiers, and what is to be known of them.
pub(crate) struct Tiers {
    /// The first tier.
    pub(crate) tier: Arc<dyn Tier>,
    /// Names and manifests.
    pub(crate) catalog: Arc<dyn Catalog>,
    meters: Vec<(String, Arc<Meter>)>,
    kept: Option<Arc<KeptCatalog>>,
    counters: CounterSource,
}

impl Tiers {
    /// Stacks the tiers over a store. Nothing is asked of the store, nor of anybody else.
    pub(crate) async fn stack(plan: Plan, store: OriginStore) -> Self {
        let OriginStore { lazy, origin } = store;
        let mut meters = Vec::new();
        let mut metered = |name: &str, tier: Arc<dyn Tier>| -> Arc<Metered> {
            let meter = Arc::<Meter>::default();
            meters.insert(0, (name.to_owned(), Arc::clone(&meter)));
            Arc::new(Metered::new(tier, meter))
        };
        let mut top = metered("origin", Arc::clone(&lazy) as Arc<dyn Tier>);
        let remote = match plan.remote {
            None => None,
            Some(nodes) => {
                let remote = Arc::new(Remote::start(Below(top), nodes, RemoteOptions::default()).await);
                top = metered("remote", Arc::clone(&remote) as Arc<dyn Tier>);
                Some(remote)
            }
        };
        let disk = match &plan.directory {
            Some(directory) if plan.disk_bytes > 0 => {
                let options = DiskOptions::new(directory.join("chunks"), plan.disk_bytes);
                let disk = Arc::new(Disk::new(top, options));
                top = metered("disk", Arc::clone(&disk) as Arc<dyn Tier>);
                Some(disk)
            }
            _ => None,
        };
        let memory = Arc::new(Memory::new(top, plan.memory_bytes));
        let top = metered("memory", Arc::clone(&memory) as Arc<dyn Tier>);
        let kept = plan.directory.map(|directory| {
            let options = KeptOptions::new(directory.join("catalog"));
            Arc::new(KeptCatalog::new(Arc::clone(&lazy) as Arc<dyn Catalog>, &options))
        });
        let catalog = kept.clone().map_or(lazy as Arc<dyn Catalog>, |kept| kept as Arc<dyn Catalog>);
        let admission: AdmissionSource = {
            let origin = Arc::clone(&origin);
            Arc::new(move || origin.get().map(|origin| origin.admission()))
        };
        let counters: CounterSource = Arc::new(move || {
            let mut all: Vec<Counter> = counters::of_memory(&memory.counts());
            all.extend(disk.iter().flat_map(|disk| counters::of_disk(&disk.counts())));
            all.extend(remote.iter().flat_map(|remote| counters::of_remote(&remote.counts())));
            all.extend(origin.get().into_iter().flat_map(|origin| counters::of_origin(&origin.counts())));
            all
        });
        Self { tier: top, catalog: Arc::new(Guarded::new(catalog, admission)), meters, kept, counters }
    }

    /// What a host cache's statistics are made of.
    pub(crate) fn observe(&self, options: ServerOptions) -> ServerOptions {
        let kept = self.kept.clone();
        ServerOptions {
            meters: self.meters.clone(),
            counters: Some(Arc::clone(&self.counters)),
            catalog_stats: kept.map(|kept| Arc::new(move || kept.stats()) as _),
            ..options
        }
    }
}

/// A store, open or not yet, with all that guards an origin.
pub(crate) struct OriginStore {
    lazy: Arc<LazyStore>,
    origin: Arc<OnceLock<Arc<OriginStack>>>,
}

impl OriginStore {
    /// A store that is opened when it is needed.
    pub(crate) fn at(location: StoreLocation, options: StoreOptions) -> Self {
        let name = format!("origin({location})");
        Self::opened_by(name, origin_options(&location), move || {
            let (location, options) = (location.clone(), options.clone());
            async move { Store::open(&location, &options).await }.boxed()
        })
    }

    /// A store that is open.
    pub(crate) fn of(store: &Store) -> Self {
        let (name, options) = (format!("origin({store})"), origin_options(store.location()));
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
        let lazy = LazyStore::new(name, move || {
            let (opening, place, options) = (open(), Arc::clone(&place), options.clone());
            async move {
                let store = opening.await?;
                let guarded = place.get_or_init(|| stack::origin(store.clone(), &options));
                let tier = Arc::clone(guarded) as Arc<dyn Tier>;
                Ok(Opened { tier, catalog: Arc::new(store.clone()), profiles: Arc::new(store) })
            }
            .boxed()
        });
        Self { lazy: Arc::new(lazy), origin }
    }

    /// The store, to be opened ahead of its first use.
    pub(crate) fn lazy(&self) -> Arc<LazyStore> {
        Arc::clone(&self.lazy)
    }
}

/// A disk answers a second request no sooner than the first: only what lies behind a network is hedged.
fn origin_options(location: &StoreLocation) -> OriginOptions {
    let mut options = OriginOptions::default();
    if matches!(location, StoreLocation::Directory(_)) {
        (options.hedge.share, options.hedge.burst) = (0.0, 0.0);
    }
    options
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
