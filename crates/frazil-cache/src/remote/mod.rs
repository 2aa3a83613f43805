//! The remote tier: a zone's fleet of plain memcached nodes, each sealed chunk striped over five of them.
//!
//! The read path, in order: all five homes of the chunk are asked at once ([`gather`]); the first four shards
//! that make the chunk win; when they are late or too few, the tier below is asked as well and the first to
//! answer wins; what the homes lack is written behind the reader's back ([`plan`], [`fills`]). The invariant:
//! nothing that a node does or fails to do is ever an error or a wrong byte for a reader. Why it is so, and how
//! placement, bounded load and membership go together, is in `docs/decisions/0009-striping-over-memcached.md`.

mod answers;
mod breaker;
mod connection;
mod counts;
mod fills;
mod fleet;
mod gather;
mod landing;
mod node;
mod nodes;
mod options;
mod placement;
mod plan;
mod protocol;
mod session;
mod shard;
#[cfg(feature = "tls")]
mod tls;
mod vitals;
mod wire;

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use frazil_format::SealedChunk;
use futures::future::{Either, select};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

pub use counts::RemoteCounts;
pub use nodes::{NodeAddress, Nodes, NotAFleet, Resolver};
pub use options::RemoteOptions;
#[cfg(feature = "tls")]
pub use tls::{Tls, TlsIdentity};
pub use vitals::NodeCounts;

use counts::Counters;
use fills::{Fill, Fills};
use fleet::Fleet;
use gather::{Finding, Gather, Gathered};
use nodes::MAX_NODES;
use plan::{Holding, Site, plan};

use crate::trace;
use crate::{Level, Served, Tier, TierError, Wanted};

/// How long the first answer of a resolver is waited for. Without one the fleet has no nodes yet.
const FIRST_RESOLUTION: Duration = Duration::from_secs(2);

/// The fleet, in front of the tier below.
#[derive(Debug)]
pub struct Remote<T> {
    below: T,
    zone: Arc<Zone>,
    watch: Option<AbortHandle>,
}

/// What the readers, the fills and the watch share.
#[derive(Debug)]
struct Zone {
    options: RemoteOptions,
    fleet: RwLock<Arc<Fleet>>,
    counters: Arc<Counters>,
    fills: Fills,
}

impl<T: Tier> Remote<T> {
    /// A fleet in front of this tier. Must be called in a tokio runtime, which then runs the connections. It
    /// does not fail: nodes that cannot be reached or resolved only cause misses.
    pub async fn start(below: T, nodes: Nodes, options: RemoteOptions) -> Self {
        let counters = Arc::new(Counters::default());
        let fills = Fills::new(&options, Arc::clone(&counters));
        let zone = Arc::new(Zone { options, fleet: RwLock::default(), counters, fills });
        let watch = match nodes {
            Nodes::Listed(nodes) => {
                zone.change(nodes);
                None
            }
            Nodes::Watched { resolver, every } => {
                let _ = timeout(FIRST_RESOLUTION, zone.resolve(&*resolver)).await;
                let watched = Arc::clone(&zone);
                Some(tokio::spawn(async move { watched.watch(&*resolver, every).await }).abort_handle())
            }
        };
        Self { below, zone, watch }
    }

    /// What the tier did so far.
    pub fn counts(&self) -> RemoteCounts {
        let nodes = self.zone.fleet().nodes().iter().map(|node| node.counts()).collect();
        self.zone.counters.counts(nodes)
    }

    /// Waits until every fill that is on its way has arrived or failed.
    pub async fn settled(&self) {
        self.zone.fills.settled().await;
    }

    /// The chunk from wherever it comes first.
    async fn race(&self, gather: &mut Gather) -> Result<Served, TierError> {
        let wanted = gather.wanted;
        let hedge = self.zone.options.hedge;
        match timeout(hedge, gather.chunk()).await {
            Ok(Some(gathered)) => return Ok(self.zone.hit(gathered)),
            Ok(None) => return self.miss(&wanted).await,
            Err(_) => self.zone.counters.hedges.fetch_add(1, Relaxed),
        };
        let from_below = self.below.get(&wanted);
        let first = {
            let from_fleet = std::pin::pin!(gather.chunk());
            match select(from_fleet, from_below).await {
                Either::Left((Some(gathered), _)) => return Ok(self.zone.hit(gathered)),
                Either::Left((None, from_below)) => from_below.await,
                Either::Right((answer, _)) => answer,
            }
        };
        match first {
            Ok(served) => Ok(self.zone.missed(served)),
            // The fleet may still have it.
            Err(error) => gather.chunk().await.map(|gathered| self.zone.hit(gathered)).ok_or(error),
        }
    }

    async fn answer(&self, wanted: &Wanted) -> Result<Served, TierError> {
        if wanted.sealed_len == 0 || shard::item_len(wanted.sealed_len) > self.zone.options.max_item_bytes {
            self.zone.counters.oversized.fetch_add(1, Relaxed);
            return self.below.get(wanted).await;
        }
        let deadline = Instant::now() + self.zone.options.deadline;
        let mut gather = Gather::start(wanted, self.zone.fleet(), deadline);
        let served = self.race(&mut gather).await?;
        gather.judge(&served.chunk);
        self.zone.fill(gather, &served.chunk);
        Ok(served)
    }

    async fn miss(&self, wanted: &Wanted) -> Result<Served, TierError> {
        self.below.get(wanted).await.map(|served| self.zone.missed(served))
    }
}

#[async_trait]
impl<T: Tier> Tier for Remote<T> {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        trace::tier_get("remote", wanted, self.answer(wanted)).await
    }
}

impl Zone {
    fn fleet(&self) -> Arc<Fleet> {
        Arc::clone(&self.fleet.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, nodes: Vec<NodeAddress>) {
        let mut fleet = self.fleet.write().unwrap_or_else(PoisonError::into_inner);
        *fleet = Arc::new(fleet.changed_to(nodes, &self.options));
    }

    async fn watch(&self, resolver: &dyn Resolver, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            self.resolve(resolver).await;
        }
    }

    /// Makes the resolver's answer the fleet, unless it names no node: a name service that is down must not
    /// take the cache with it.
    async fn resolve(&self, resolver: &dyn Resolver) {
        match resolver.resolve().await {
            Ok(nodes) if nodes.is_empty() => tracing::warn!(?resolver, "the fleet's name has no address"),
            Ok(mut nodes) => {
                nodes.truncate(MAX_NODES);
                self.change(nodes);
            }
            Err(error) => tracing::warn!(?resolver, %error, "the fleet's name is not to be had"),
        }
    }

    fn hit(&self, gathered: Gathered) -> Served {
        let Gathered { chunk, is_reconstructed } = gathered;
        self.counters.hits.fetch_add(1, Relaxed);
        self.counters.reconstructed.fetch_add(u64::from(is_reconstructed), Relaxed);
        self.counters.hit_bytes.fetch_add(chunk.len() as u64, Relaxed);
        Served::by(Level::Remote, chunk)
    }

    fn missed(&self, served: Served) -> Served {
        self.counters.misses.fetch_add(1, Relaxed);
        served
    }

    /// Has the fleet filled with what it is known to lack.
    fn fill(&self, gather: Gather, chunk: &SealedChunk) {
        let Gather { fleet, positions, findings, .. } = gather;
        let holds = |finding: &Finding, is_up: bool| match finding {
            Finding::Shard(shard) => Holding::Shard(shard.index),
            Finding::Right(index) => Holding::Shard(*index),
            Finding::Vacant | Finding::NoShard => Holding::Nothing,
            // Nobody asks a node that is down what it has; a spare has nothing that is needed.
            Finding::NotAsked => Holding::Nothing,
            Finding::Unknown if !is_up => Holding::Nothing,
            Finding::Unknown => Holding::Unknown,
        };
        let sites: Vec<Site> = positions
            .iter()
            .zip(&findings)
            .map(|(position, finding)| Site {
                holds: holds(finding, position.node.vitals.breaker.is_closed()),
                takes_fills: fleet.takes_fills(&position.node, self.options.load_bound_percent),
            })
            .collect();
        let Some(puts) = plan(&sites) else {
            self.counters.fill_drops.fetch_add(1, Relaxed);
            return;
        };
        let shards: Vec<_> =
            puts.iter().filter_map(|put| Some((positions.get(put.at)?.clone(), put.index))).collect();
        if !shards.is_empty() {
            self.fills.push(Fill { wanted: gather.wanted, chunk: chunk.clone(), shards });
        }
    }
}

impl<T> Drop for Remote<T> {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

impl<T: fmt::Display> fmt::Display for Remote<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = self.zone.fleet().nodes().len();
        let (data, parity) = (shard::DATA_SHARDS, shard::SHARDS - shard::DATA_SHARDS);
        write!(f, "remote({nodes} nodes, {data}+{parity}) → {}", self.below)
    }
}
