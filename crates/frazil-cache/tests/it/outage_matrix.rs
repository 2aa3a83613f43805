//! The outage matrix: what can go wrong × where, one cell after the other, each held to the same five sentences.
//!
//! 1. What is cached is read, and waits for no stuck fetch.
//! 2. Who waits does so no longer than the deadline that is configured.
//! 3. A reader that goes away leaves nothing under way.
//! 4. Threads, tasks and descriptors are bounded by the number of readers, and go back to what they were.
//! 5. When the fault ends, everything is had again, by itself.
//!
//! The places are the origin (a store behind a web server), one node of the fleet, all nodes of the fleet, all nodes
//! with the store behind them stuck as well, and the host cache. The origin as a bucket of an S3 server is told in
//! `outage_origin.rs`; faults that take real processes and real mounts in the tests of `frazil`. Each story prints its
//! row of the matrix: `cargo nextest run -p frazil-cache outage_matrix --no-capture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use frazil_cache::conformance::Sample;
use frazil_cache::host::{HostCache, HostCacheOptions};
use frazil_cache::stack::{self, OriginOptions, OriginStack};
use frazil_cache::testing::{Fault, FaultProxy};
use frazil_cache::{ErrorClass, Memory, Nodes, Remote, RemoteOptions, Served, Tier, TierError, Wanted};
use futures::future::join_all;

use crate::below::Below;
use crate::fleet::Memcached;
use crate::host::stand::Stand;
use crate::outage_origin::published;
use crate::stages::{PATIENCE, below, chunks, read_all, scratch, until};

/// How long a question may take in all, wherever it goes.
const DEADLINE: Duration = Duration::from_millis(1500);

/// Two cores may be busy with other things; a wait without a bound is longer than this.
const SLACK: u32 = 10;

/// Readers who want what is not cached, all at once, each another chunk.
const READERS: u64 = 40;

/// Those of them who go away before they have an answer.
const QUITTERS: usize = 10;

/// Descriptors, threads and tasks that the proxies, their connections and the pools may take beside the readers.
const OVERHEAD: usize = 120;

/// What can be wrong with any network.
fn faults() -> Vec<(&'static str, Fault)> {
    vec![
        ("black hole", Fault::BlackHole),
        ("reset mid-body", Fault::Reset { after_bytes: 10_000 }),
        ("truncation", Fault::Truncate { after_bytes: 10_000 }),
        ("closed at once", Fault::Truncate { after_bytes: 0 }),
        ("slow drip", Fault::SlowDrip { bytes: 64, pause: Duration::from_millis(20) }),
        ("latency 20 ms", Fault::Latency(Duration::from_millis(20))),
        ("latency 10 s", Fault::Latency(Duration::from_secs(10))),
        ("flipped bits", Fault::Corrupt { every_bytes: 10_000 }),
    ]
}

/// What a web server can say.
fn http_faults() -> Vec<(&'static str, Fault)> {
    let answer = |status, retry_after_s| Fault::Answer { status, retry_after_s };
    vec![
        ("500", answer(500, None)),
        ("503", answer(503, None)),
        ("503, Retry-After 1", answer(503, Some(1))),
        ("429, Retry-After 1", answer(429, Some(1))),
        ("429, Retry-After 3600", answer(429, Some(3600))),
        ("garbage", Fault::Say(b"\0\xff not HTTP \r\n")),
    ]
}

/// What a memcached can say.
fn memcached_faults() -> Vec<(&'static str, Fault)> {
    vec![
        ("SERVER_ERROR", Fault::Say(b"SERVER_ERROR out of memory\r\n")),
        ("garbage", Fault::Say(b"\0\xff\r\nEN\r\nVA\r\n")),
        ("misses", Fault::Say(b"EN\r\n")),
        ("longer than said", Fault::Say(b"VA 3 O1\r\nfar too long\r\n")),
        ("shorter than said", Fault::Say(b"VA 25000 O1\r\nshort\r\n")),
        ("longer than can be", Fault::Say(b"VA 99999999999 O1\r\n")),
        ("another's answer", Fault::Say(b"VA 2 O77\r\nhi\r\n")),
    ]
}

/// What the host cache's side of a socket can say.
fn socket_faults() -> Vec<(&'static str, Fault)> {
    vec![
        ("garbage", Fault::Say(b"\0\xff\r\nEN\r\nVA\r\n")),
        ("an endless body", Fault::Say(&[0xff; 64])),
        ("zeros", Fault::Say(&[0; 256])),
    ]
}

/// What readers may be told while a fault lasts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Readers {
    /// Nothing: something else stands in.
    NeedNotKnow,
    /// That it did not work out.
    MayFail,
}

/// A stack of tiers of its own for each cell, and how much of it is under way.
struct Cell {
    tier: Arc<dyn Tier>,
    under_way: Box<dyn Fn() -> usize>,
}

struct Place<'a> {
    name: &'a str,
    proxies: Vec<&'a FaultProxy>,
    cached: Vec<Sample>,
    absent: Vec<Sample>,
    readers: Readers,
}

/// What this process holds: threads, descriptors, tasks.
#[derive(Clone, Copy, Debug)]
struct Held([usize; 3]);

impl Held {
    fn now() -> Self {
        let entries = |directory: &str| std::fs::read_dir(directory).unwrap().count();
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        Self([entries("/proc/self/task"), entries("/proc/self/fd"), tasks])
    }

    fn beyond(self, before: Self) -> [usize; 3] {
        std::array::from_fn(|at| self.0[at].saturating_sub(before.0[at]))
    }
}

impl Place<'_> {
    async fn survives(&self, faults: Vec<(&str, Fault)>, cell: impl AsyncFn() -> Cell) {
        println!(
            "\n| {} | served of {READERS} | slowest wait | more threads, descriptors, tasks |",
            self.name
        );
        println!("|---|---|---|---|");
        for (word, fault) in faults {
            let row = self.survives_one(word, fault, cell().await).await;
            println!("| {word} | {row} |");
        }
    }

    async fn survives_one(&self, word: &str, fault: Fault, Cell { tier, under_way }: Cell) -> String {
        let at = format!("{}, {word}", self.name);
        read_all(&*tier, &self.cached).await;
        let before = Held::now();
        self.proxies.iter().for_each(|proxy| proxy.set(fault.clone()));
        let readers = self.absent.iter().map(|sample| {
            let (tier, sample) = (Arc::clone(&tier), sample.clone());
            tokio::spawn(async move {
                let started = Instant::now();
                let answer = tier.get(&sample.wanted).await.map(|served| served == sample.chunk);
                (answer, started.elapsed())
            })
        });
        let mut readers: Vec<_> = readers.collect();
        let mut most = [0; 3];
        for _ in 0..10 {
            // Were a cached read to wait for one that is stuck, it would take until the deadline.
            let hits = tokio::time::timeout(DEADLINE, read_all(&*tier, &self.cached));
            hits.await.unwrap_or_else(|_| panic!("{at}: a cached read waits behind a stuck one"));
            let more = Held::now().beyond(before);
            most = std::array::from_fn(|at| most[at].max(more[at]));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let bound = OVERHEAD + 4 * self.absent.len();
        assert!(most.iter().all(|more| *more <= bound), "{at}: {most:?} more, {bound} allowed");
        for reader in readers.drain(..QUITTERS) {
            reader.abort();
        }
        let answers = tokio::time::timeout(DEADLINE * SLACK, join_all(readers)).await;
        let answers = answers.unwrap_or_else(|_| panic!("{at}: the deadline passed and readers wait"));
        let (mut served, mut slowest) = (0, Duration::ZERO);
        for answer in answers {
            let (answer, waited) = answer.unwrap();
            slowest = slowest.max(waited);
            match answer {
                Ok(is_right) => assert!(is_right, "{at}: wrong bytes"),
                Err(error) => {
                    assert!(self.readers == Readers::MayFail, "{at}: {error:?}");
                    assert!(
                        matches!(error.class(), ErrorClass::Transient | ErrorClass::Corrupt),
                        "{at}: {error:?}"
                    );
                    continue;
                }
            }
            served += 1;
        }

        self.proxies.iter().for_each(|proxy| proxy.set(Fault::Pass));
        for sample in &self.absent {
            let again = async {
                // A fetch that began in the fault may still fail.
                while !tier.get(&sample.wanted).await.is_ok_and(|served| served == sample.chunk) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(PATIENCE, again).await.unwrap_or_else(|_| panic!("{at}: never again"));
        }
        until(&format!("{at}: nothing is under way"), || under_way() == 0).await;
        drop((tier, under_way));
        let settled = || Held::now().beyond(before).iter().all(|more| *more <= OVERHEAD / 2);
        until(&format!("{at}: nothing is left behind"), settled).await;
        let [threads, descriptors, tasks] = most;
        format!("{served} and {QUITTERS} gone | {slowest:.1?} | +{threads}, +{descriptors}, +{tasks}")
    }
}

/// A stack over a store that is like an origin.
fn origin_options() -> OriginOptions {
    let mut options = OriginOptions {
        deadline: DEADLINE,
        attempt_deadline: DEADLINE / 5,
        seed: Some(1),
        ..OriginOptions::with_concurrency(8)
    };
    options.retry.longest_pause = Duration::from_millis(100);
    options
}

/// An origin with these faults before it.
async fn origin_survives(faults: Vec<(&'static str, Fault)>) {
    let (cached, absent) = (chunks(0..4, 100_000), chunks(100..100 + READERS, 100_000));
    let scene = published(cached.iter().chain(&absent)).await;
    let place =
        Place { name: "origin", proxies: vec![&scene.proxy], cached, absent, readers: Readers::MayFail };
    let cell = async || {
        let stack = stack::origin(scene.store.clone(), &origin_options());
        let tier = Arc::new(Memory::new(stack.clone(), 64 << 20));
        Cell {
            tier,
            under_way: Box::new(move || {
                let slots = stack.counts().slots;
                slots.held + slots.waiting
            }),
        }
    };
    place.survives(faults, cell).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_behind_a_broken_network_fails_within_its_deadline() {
    origin_survives(faults()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_says_no_fails_within_its_deadline() {
    origin_survives(http_faults()).await;
}

/// What is below the fleet.
#[derive(Debug)]
struct Store(Arc<OriginStack>);

#[async_trait]
impl Tier for Store {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        self.0.get(wanted).await
    }
}

impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Five nodes, of which the first `behind` are behind a proxy.
struct Five {
    _nodes: Vec<Memcached>,
    addresses: Vec<std::net::SocketAddr>,
    proxies: Vec<FaultProxy>,
}

impl Five {
    fn with_proxies(behind: usize) -> Self {
        let nodes: Vec<_> = (0..5).map(|_| Memcached::start()).collect();
        let mut addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
        let mut proxies = Vec::new();
        for address in addresses.iter_mut().take(behind) {
            let proxy = FaultProxy::start(*address).unwrap();
            *address = proxy.address();
            proxies.push(proxy);
        }
        Self { _nodes: nodes, addresses, proxies }
    }

    fn listed(&self) -> Nodes {
        Nodes::Listed(self.addresses.iter().map(|node| node.to_string().parse().unwrap()).collect())
    }
}

/// The fleet with so many nodes behind proxies, over a store that works or is stuck as well.
async fn fleet_survives(name: &str, behind: usize, store_works: Readers) {
    let (cached, absent) = (chunks(0..4, 100_000), chunks(100..100 + READERS, 100_000));
    let five = Five::with_proxies(behind);
    let store = Below::with(cached.iter().chain(&absent).map(|sample| (sample.wanted, sample.chunk.clone())));
    let options = || RemoteOptions {
        hedge: Duration::from_millis(5),
        deadline: Duration::from_millis(50),
        ..RemoteOptions::default()
    };
    let place = Place {
        name,
        proxies: five.proxies.iter().collect(),
        cached: cached.clone(),
        absent: absent.clone(),
        readers: store_works,
    };
    // The fleet has everything: what a busy machine was too late with is filled again.
    let filling = Remote::start(store.clone(), five.listed(), RemoteOptions::default()).await;
    let mut asked_before = None;
    while asked_before != Some(store.gets()) {
        asked_before = Some(store.gets());
        read_all(&filling, &absent).await;
        filling.settled().await;
    }
    drop(filling);
    let faults = faults().into_iter().chain(memcached_faults()).collect();
    let cell = async || {
        let origin = stack::over(Arc::new(store.clone()), &origin_options());
        let remote = Arc::new(Remote::start(Store(origin.clone()), five.listed(), options()).await);
        let tier = Arc::new(Memory::new(remote.clone(), 64 << 20));
        store.switch_on();
        read_all(&*tier, &cached).await;
        remote.settled().await;
        if store_works == Readers::MayFail {
            store.switch_off();
        }
        let under_way = move || {
            let nodes: u64 = remote.counts().nodes.iter().map(|node| node.in_flight).sum();
            let slots = origin.counts().slots;
            nodes as usize + slots.held + slots.waiting
        };
        Cell { tier, under_way: Box::new(under_way) }
    };
    place.survives(faults, cell).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_that_fails_is_nobodys_error() {
    fleet_survives("one node of five", 1, Readers::NeedNotKnow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_fails_is_nobodys_error() {
    fleet_survives("all nodes", 5, Readers::NeedNotKnow).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_fails_before_a_stuck_store_fails_within_the_deadline() {
    fleet_survives("all nodes, and the store is stuck", 5, Readers::MayFail).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_cache_that_fails_fails_within_the_agents_patience() {
    let (cached, absent) = (chunks(0..4, 100_000), chunks(100..100 + READERS, 100_000));
    let all: Vec<Sample> = cached.iter().chain(&absent).cloned().collect();
    let stand = Stand::over(Arc::new(Memory::new(below(&all), 64 << 20)));
    let directory = scratch();
    let socket = directory.path().join("proxied.sock");
    let proxy = FaultProxy::start_at(&socket, &stand.path()).unwrap();
    let place =
        Place { name: "host cache", proxies: vec![&proxy], cached, absent, readers: Readers::MayFail };
    let faults = faults().into_iter().chain(socket_faults()).collect();
    let cell = async || {
        let agent = HostCache::new(&socket, HostCacheOptions { patience: DEADLINE });
        let server = stand.server().clone();
        let under_way = move || server.stats().requests.in_flight as usize;
        Cell { tier: Arc::new(Memory::new(Arc::new(agent), 64 << 20)), under_way: Box::new(under_way) }
    };
    place.survives(faults, cell).await;
}
