//! The remote tier: how long a hit takes over five memcached nodes on the loopback, when all is well, when one node
//! is slow and when one is stopped; striped 4+1, beside one whole copy per chunk, beside the ceiling: one `get` after
//! the other of an item of that size, over one connection to one node.
//!
//! Chunks are asked for at a steady mean rate, at random times and whatever is still under way, as readers do; a
//! latency runs from the moment of asking to verified bytes. Misses are counted, and there should be none. All fleets
//! stand at once and take turns, so that whatever else the machine does is done to all of them.

mod copies;
pub(crate) mod memcached;
mod pace;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::Context;
use async_trait::async_trait;
use bytes::Bytes;
use clap::Args;
use frazil_cache::testing::{Fault, FaultProxy};
use frazil_cache::{Nodes, Remote, RemoteOptions, Served, Tier, TierError, Wanted};
use frazil_format::{ChunkId, RootId, SealedChunk};
use tokio::runtime::Runtime;

use crate::report;
pub(crate) use copies::Copies;
pub(crate) use memcached::Memcached;

/// How much later a slow node answers.
const SLOWNESS: Duration = Duration::from_millis(20);

/// How many chunks are read, in turn.
const CHUNKS: usize = 64;

/// What the benchmark needs to know.
#[derive(Args)]
pub(crate) struct Setup {
    /// How many MB of chunks are read in a second
    #[arg(long, default_value_t = 50)]
    pub(crate) mb_per_s: u64,
    /// How many reads are measured for each row
    #[arg(long, default_value_t = 4000)]
    pub(crate) reads: usize,
    /// In how many rounds the contenders take turns
    #[arg(long, default_value_t = 8)]
    pub(crate) rounds: usize,
    /// The sizes of the sealed chunks, in KiB
    #[arg(long, value_delimiter = ',', default_values_t = [128, 512])]
    pub(crate) chunk_kib: Vec<usize>,
}

/// What is wrong with the fleet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Healthy,
    /// One node is reached by the way that makes it slow in the next row: what the slowness costs is the difference.
    OneRelayed,
    OneSlow,
    OneStopped,
}

impl Health {
    const ALL: [Self; 4] = [Self::Healthy, Self::OneRelayed, Self::OneSlow, Self::OneStopped];
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::OneRelayed => "healthy, one node behind a relay",
            Self::OneSlow => "one node 20 ms slower, by that relay",
            Self::OneStopped => "one node stopped",
        })
    }
}

/// Runs the benchmark and prints its tables.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    print!("{}", tables(setup)?.concat());
    Ok(())
}

/// Runs the benchmark: a table for each size.
pub(crate) fn tables(setup: &Setup) -> anyhow::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    setup.chunk_kib.iter().map(|&kib| table(&runtime, setup, kib)).collect()
}

fn table(runtime: &Runtime, setup: &Setup, kib: usize) -> anyhow::Result<String> {
    let chunks = chunks(kib << 10);
    let mut fleets = Vec::new();
    for health in Health::ALL {
        fleets.push((format!("striped 4+1, {health}"), Fleet::striped(runtime, &chunks, health)?));
    }
    for health in Health::ALL {
        fleets.push((format!("one copy, {health}"), Fleet::of_copies(runtime, &chunks, health)?));
    }
    let rounds = setup.rounds.max(1);
    let reads = setup.reads.div_ceil(rounds);
    let mut ceiling = Vec::new();
    let mut latencies = vec![Vec::new(); fleets.len()];
    for _ in 0..rounds {
        ceiling.extend(one_after_the_other(reads, &chunks)?);
        for ((_, fleet), latencies) in fleets.iter().zip(&mut latencies) {
            let pace = pace::Pace { reads, mb_per_s: setup.mb_per_s };
            latencies.extend(pace.run(runtime, &chunks, |wanted| {
                let client = fleet.client.clone();
                async move { client.has(&wanted).await }
            }));
        }
    }
    let mut rows =
        vec![("one `get` after the other, one node, one connection".into(), cells(ceiling, reads * rounds))];
    rows.extend(
        fleets
            .into_iter()
            .zip(latencies)
            .map(|((name, _), latencies)| (name, cells(latencies, reads * rounds))),
    );
    let title = format!("Remote hit, {kib} KiB sealed, {} MB/s", setup.mb_per_s);
    Ok(report::markdown(&title, &["p50", "p99", "p99.9", "slowest", "failed of all"], &rows))
}

fn one_after_the_other(reads: usize, chunks: &[(Wanted, SealedChunk)]) -> anyhow::Result<Vec<Duration>> {
    let node = Memcached::start()?;
    let mut raw = node.connect()?;
    for (wanted, chunk) in chunks {
        raw.set(&wanted.id.to_string(), chunk.bytes())?;
    }
    let mut latencies = Vec::with_capacity(reads);
    for (wanted, chunk) in chunks.iter().cycle().take(reads) {
        let started = Instant::now();
        let value = raw.get(&wanted.id.to_string())?;
        latencies.push(started.elapsed());
        anyhow::ensure!(value == *chunk.bytes(), "another value than was set");
    }
    Ok(latencies)
}

/// A client, and the five nodes that have every chunk for it.
struct Fleet {
    client: Client,
    _five: Five,
}

/// How chunks are kept.
#[derive(Clone)]
enum Client {
    Striped(Arc<Remote<Source>>),
    OneCopy(Arc<Copies>),
}

impl Client {
    async fn has(&self, wanted: &Wanted) -> bool {
        match self {
            Self::Striped(remote) => remote.get(wanted).await.is_ok(),
            Self::OneCopy(copies) => copies.get(&wanted.id).await.is_ok(),
        }
    }
}

impl Fleet {
    fn striped(runtime: &Runtime, chunks: &[(Wanted, SealedChunk)], health: Health) -> anyhow::Result<Self> {
        let five = Five::start()?;
        let nodes =
            five.addresses(health).iter().map(|node| node.to_string().parse()).collect::<Result<_, _>>()?;
        let below = Source::new(chunks);
        let patient = Duration::from_secs(1);
        let options = RemoteOptions { hedge: patient, ..RemoteOptions::default() };
        let remote = runtime.block_on(async {
            let remote = Remote::start(below.clone(), Nodes::Listed(nodes), options).await;
            // Twice: what a busy machine left out the first time is healed.
            for (wanted, _) in chunks.iter().chain(chunks) {
                remote.get(wanted).await?;
                remote.settled().await;
            }
            anyhow::Ok(Arc::new(remote))
        })?;
        below.dry_up();
        five.fall_ill(health)?;
        Ok(Self { client: Client::Striped(remote), _five: five })
    }

    fn of_copies(
        runtime: &Runtime,
        chunks: &[(Wanted, SealedChunk)],
        health: Health,
    ) -> anyhow::Result<Self> {
        let five = Five::start()?;
        let copies = Arc::new(Copies::new(five.addresses(health)));
        runtime.block_on(async {
            for (wanted, chunk) in chunks {
                copies.set(&wanted.id, chunk.bytes()).await?;
            }
            anyhow::Ok(())
        })?;
        five.fall_ill(health)?;
        Ok(Self { client: Client::OneCopy(copies), _five: five })
    }
}

/// Five nodes; a relay before the one that can be slow.
struct Five {
    nodes: Vec<Memcached>,
    relay: FaultProxy,
}

impl Five {
    fn start() -> anyhow::Result<Self> {
        let nodes: Vec<_> = (0..5).map(|_| Memcached::start()).collect::<Result<_, _>>()?;
        let relay = FaultProxy::start(nodes.first().context("five nodes")?.address)?;
        Ok(Self { nodes, relay })
    }

    /// Where they listen: nobody pays for a relay that has nothing to do.
    fn addresses(&self, health: Health) -> Vec<std::net::SocketAddr> {
        let mut addresses: Vec<_> = self.nodes.iter().map(|node| node.address).collect();
        if let (Health::OneRelayed | Health::OneSlow, Some(first)) = (health, addresses.first_mut()) {
            *first = self.relay.address();
        }
        addresses
    }

    fn fall_ill(&self, health: Health) -> anyhow::Result<()> {
        match health {
            Health::Healthy | Health::OneRelayed => {}
            Health::OneSlow => self.relay.set(Fault::Latency(SLOWNESS)),
            Health::OneStopped => self.nodes.last().context("five nodes")?.stop()?,
        }
        Ok(())
    }
}

/// Percentiles of what succeeded, and how much did not.
fn cells(mut latencies: Vec<Duration>, reads: usize) -> Vec<String> {
    latencies.sort_unstable();
    let at = |share: f64| {
        let rank = (latencies.len() as f64 * share) as usize;
        let latency = latencies.get(rank.min(latencies.len().saturating_sub(1)));
        latency.map_or_else(|| "–".to_owned(), |latency| format!("{} µs", latency.as_micros()))
    };
    vec![at(0.5), at(0.99), at(0.999), at(1.0), format!("{} of {reads}", reads - latencies.len())]
}

/// The tier below: has every chunk until it dries up, then none.
#[derive(Clone, Debug)]
pub(crate) struct Source(Arc<(Vec<(Wanted, SealedChunk)>, AtomicU64)>);

impl Source {
    pub(crate) fn new(chunks: &[(Wanted, SealedChunk)]) -> Self {
        Self(Arc::new((chunks.to_vec(), AtomicU64::new(0))))
    }

    pub(crate) fn dry_up(&self) {
        self.0.1.store(1, Relaxed);
    }
}

#[async_trait]
impl Tier for Source {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let Wanted { root, id, .. } = *wanted;
        let chunk = self.0.0.iter().find(|(other, _)| other.id == id);
        match chunk {
            Some((_, chunk)) if self.0.1.load(Relaxed) == 0 => Ok(Served::by_origin(chunk.clone())),
            _ => Err(TierError::NotFound { id, root, tier: self.to_string() }),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("source")
    }
}

/// Chunks of so many bytes, as incompressible as sealed ones are.
pub(crate) fn chunks(len: usize) -> Vec<(Wanted, SealedChunk)> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..CHUNKS)
        .filter_map(|_| {
            let bytes: Bytes = (0..len).map(|_| byte()).collect::<Vec<u8>>().into();
            let id = ChunkId::of(&bytes);
            let chunk = SealedChunk::verify(&id, bytes).ok()?;
            Some((Wanted { root: RootId::FIRST, id, sealed_len: u32::try_from(len).ok()? }, chunk))
        })
        .collect()
}
