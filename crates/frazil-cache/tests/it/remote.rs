//! The remote tier over a real fleet: what it does when all is well, and when its membership changes.

use crate::stages::scratch;
use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use frazil_cache::conformance::{self, Damage, Recovery, Sample, Stage};
use frazil_cache::{NodeAddress, Nodes, Remote, RemoteOptions, Resolver, Tier, Tls, Wanted};
use frazil_format::SealedChunk;
use futures::future::join_all;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::below::{Below, chunks};
use crate::fleet::Memcached;

/// So patient that no test hangs on the machine's mood: what must not be waited for must not be waited for
/// whatever the patience.
pub(crate) fn patient() -> RemoteOptions {
    let long = Duration::from_secs(20);
    RemoteOptions { hedge: long, deadline: long, fill_deadline: long, ..RemoteOptions::default() }
}

pub(crate) fn listed(fleet: &[Memcached]) -> Nodes {
    Nodes::Listed(fleet.iter().map(|node| node.address.to_string().parse().unwrap()).collect())
}

pub(crate) fn nodes(count: usize) -> Vec<Memcached> {
    (0..count).map(|_| Memcached::start()).collect()
}

pub(crate) fn key(wanted: &Wanted) -> String {
    format!("f1:{}:{}:0", wanted.root, wanted.id)
}

/// Reads every chunk, many at once, and holds every answer to the truth.
pub(crate) async fn read_all(tier: &impl Tier, chunks: &[(Wanted, SealedChunk)]) {
    for some in chunks.chunks(16) {
        join_all(some.iter().map(async |(wanted, chunk)| {
            let answer = tier.get(wanted).await.unwrap();
            assert!(answer == *chunk, "{tier} gave other bytes for {wanted:?}");
        }))
        .await;
    }
}

/// A fleet with every chunk in it.
pub(crate) async fn filled(
    fleet: &[Memcached],
    chunks: &[(Wanted, SealedChunk)],
    options: RemoteOptions,
) -> (Remote<Below>, Below) {
    // A busy machine may leave a shard out, and a test that switches the store off would wait for it for ever.
    for _ in 0..MAX_FILLINGS {
        let (remote, below) = offered(fleet, chunks, options.clone()).await;
        if remote.counts().fills == chunks.len() as u64 {
            return (remote, below);
        }
        fleet.iter().for_each(|node| node.raw().flush());
    }
    panic!("the fleet never took every chunk");
}

/// A fleet to which every chunk was offered, whatever it took.
async fn offered(
    fleet: &[Memcached],
    chunks: &[(Wanted, SealedChunk)],
    options: RemoteOptions,
) -> (Remote<Below>, Below) {
    let below = Below::with(chunks.iter().cloned());
    let remote = Remote::start(below.clone(), listed(fleet), options).await;
    read_all(&remote, chunks).await;
    remote.settled().await;
    (remote, below)
}

/// How often a fleet is filled until it has everything.
const MAX_FILLINGS: usize = 10;

/// A stage whose damage is done to the shards on so many of the nodes.
struct Striped {
    fleet: Vec<Memcached>,
    remote: Arc<Remote<Below>>,
    damaged_nodes: usize,
}

impl Striped {
    async fn with(samples: &[Sample], damaged_nodes: usize) -> Self {
        let fleet = nodes(5);
        let below = Below::with(samples.iter().map(|sample| (sample.wanted, sample.chunk.clone())));
        let remote = Arc::new(Remote::start(below, listed(&fleet), patient()).await);
        Self { fleet, remote, damaged_nodes }
    }

    fn settle(&self) {
        block_in_place(|| Handle::current().block_on(self.remote.settled()));
    }
}

impl Stage for Striped {
    fn tier(&self) -> Arc<dyn Tier> {
        Arc::clone(&self.remote) as Arc<dyn Tier>
    }

    fn damage(&self, sample: &Sample, damage: &Damage) {
        self.settle();
        for node in self.fleet.iter().take(self.damaged_nodes) {
            let mut raw = node.raw();
            let item = raw.get(&key(&sample.wanted)).unwrap();
            let damage = match damage {
                Damage::FlippedBit(at) => Damage::FlippedBit(at % item.len()),
                Damage::Truncated(len) => Damage::Truncated(len % item.len()),
                // No node takes more.
                Damage::Grown(by) => Damage::Grown(*by.min(&((1 << 20) - 512 - item.len()))),
                other => other.clone(),
            };
            raw.set(&key(&sample.wanted), &damage.of(&item));
        }
    }

    fn repair(&self, sample: &Sample) {
        self.settle();
        self.fleet.iter().for_each(|node| node.raw().delete(&key(&sample.wanted)));
    }

    fn recovery(&self) -> Recovery {
        Recovery::Heals
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_remote_tier_keeps_the_laws_of_a_tier_whichever_nodes_lie() {
    for damaged_nodes in [1, 2, 5] {
        conformance::run(async |samples: &[Sample]| Striped::with(samples, damaged_nodes).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_was_missed_once_is_had_from_the_fleet_by_every_host() {
    let (fleet, chunks) = (nodes(5), chunks(40, 40_000));
    let (remote, below) = filled(&fleet, &chunks, patient()).await;
    assert_eq!(remote.to_string(), "remote(5 nodes, 4+1) → below");
    assert_eq!(below.gets(), 40);
    // Another host of the zone.
    let other = Remote::start(Below::with([]), listed(&fleet), patient()).await;
    read_all(&other, &chunks).await;
    let counts = other.counts();
    assert_eq!((counts.hits, counts.misses, counts.fills, counts.liars()), (40, 0, 0, 0), "{counts:?}");
    assert_eq!(counts.hit_bytes, chunks.iter().map(|(wanted, _)| u64::from(wanted.sealed_len)).sum::<u64>());
    let counts = remote.counts();
    assert_eq!((counts.misses, counts.fills, counts.fill_drops), (40, 40, 0), "{counts:?}");
    assert!(counts.nodes.iter().all(|node| node.fills == 40 && node.is_up), "{counts:?}");
    // A quarter of the chunk on each of five nodes.
    let stored: u64 = fleet.iter().map(|node| node.raw().stat("curr_items")).sum();
    assert_eq!(stored, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn small_fleets_serve_as_well_as_they_can() {
    let chunks = chunks(20, 10_000);
    for count in 1..5 {
        let fleet = nodes(count);
        let (remote, _) = filled(&fleet, &chunks, patient()).await;
        read_all(&remote, &chunks).await;
        assert_eq!(remote.counts().hits, 20, "{count} nodes");
        let stored: u64 = fleet.iter().map(|node| node.raw().stat("curr_items")).sum();
        assert_eq!(stored, 100, "five shards of a chunk on {count} nodes");
    }
    let remote = Remote::start(Below::with(chunks.clone()), Nodes::Listed(Vec::new()), patient()).await;
    read_all(&remote, &chunks).await;
    assert_eq!(remote.counts().misses, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_too_large_for_the_nodes_passes_the_fleet_by() {
    let (fleet, chunks) = (nodes(5), chunks(2, 4 << 20));
    let (remote, below) = offered(&fleet, &chunks, patient()).await;
    assert_eq!((remote.counts().oversized, below.gets()), (2, 2));
    assert_eq!(fleet.iter().map(|node| node.raw().stat("cmd_set")).sum::<u64>(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_chunk_that_a_node_takes_is_taken() {
    let (fleet, largest) = (nodes(5), ((1 << 20) - 512 - 48) * 4 - 7);
    let chunks = chunks(7, largest);
    let (remote, _) = filled(&fleet, &chunks, patient()).await;
    read_all(&remote, &chunks).await;
    let counts = remote.counts();
    assert_eq!((counts.oversized, counts.fills, counts.hits), (0, 7, 7), "{counts:?}");
}

/// A resolver whose answer a test changes.
#[derive(Clone, Default, Debug)]
struct Scripted(Arc<Mutex<Vec<NodeAddress>>>);

impl Scripted {
    fn say<'a>(&self, fleet: impl IntoIterator<Item = &'a Memcached>) {
        *self.0.lock().unwrap() =
            fleet.into_iter().map(|node| node.address.to_string().parse().unwrap()).collect();
    }
}

#[async_trait]
impl Resolver for Scripted {
    async fn resolve(&self) -> io::Result<Vec<NodeAddress>> {
        match self.0.lock().unwrap().clone() {
            nodes if nodes.is_empty() => Err(io::ErrorKind::NotFound.into()),
            nodes => Ok(nodes),
        }
    }
}

/// Waits until the tier has seen the fleet change.
async fn has_nodes(remote: &Remote<Below>, count: usize) {
    while remote.counts().nodes.len() != count {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Which shards lie where.
fn stored(fleet: &[Memcached], chunks: &[(Wanted, SealedChunk)]) -> HashSet<(usize, usize, u8)> {
    let mut stored = HashSet::new();
    for (number, node) in fleet.iter().enumerate() {
        let mut raw = node.raw();
        for (chunk, (wanted, _)) in chunks.iter().enumerate() {
            stored.extend(raw.get(&key(wanted)).map(|item| (number, chunk, item[4])));
        }
    }
    stored
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_membership_moves_only_what_must_move_and_misses_nothing() {
    let (fleet, chunks) = (nodes(6), chunks(300, 1000));
    let resolver = Scripted::default();
    resolver.say(&fleet[..5]);
    let below = Below::with(chunks.clone());
    let watched = Nodes::Watched { resolver: Arc::new(resolver.clone()), every: Duration::from_millis(2) };
    let remote = Remote::start(below.clone(), watched, patient()).await;
    read_all(&remote, &chunks).await;
    remote.settled().await;
    let before = stored(&fleet, &chunks);
    assert_eq!(before.len(), 1500);

    resolver.say(&fleet);
    has_nodes(&remote, 6).await;
    // Five sixths of the chunks have the new node among their five, each moves one shard of five: the least. A
    // reader that has four shards before the new node says that it has none leaves the move to the next.
    let mut moved = 0;
    while moved < 220 {
        read_all(&remote, &chunks).await;
        remote.settled().await;
        moved = stored(&fleet, &chunks).difference(&before).count();
    }
    assert_eq!(below.gets(), 300, "a node that joins costs no miss");
    assert!(stored(&fleet, &chunks).is_superset(&before));
    for _ in 0..3 {
        read_all(&remote, &chunks).await;
        remote.settled().await;
    }
    moved = stored(&fleet, &chunks).difference(&before).count();
    assert!((220..=280).contains(&moved), "{moved} of 1500 shards moved, about 250 must");

    resolver.say(&fleet[1..]);
    has_nodes(&remote, 5).await;
    read_all(&remote, &chunks).await;
    remote.settled().await;
    assert_eq!(below.gets(), 300, "a node that leaves costs no miss");
    // The name service is down: the fleet stays.
    resolver.say([]);
    read_all(&remote, &chunks).await;
    assert_eq!(remote.counts().nodes.len(), 5);
    assert_eq!(below.gets(), 300);
    let rest = stored(&fleet[1..], &chunks);
    for chunk in 0..300 {
        let indexes: HashSet<u8> =
            rest.iter().filter(|(_, at, _)| *at == chunk).map(|(_, _, index)| *index).collect();
        assert!(indexes.len() >= 4, "chunk {chunk} has shards {indexes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_under_tls_is_read_by_those_who_trust_it_and_by_nobody_else() {
    let directory = scratch();
    let (certificate, key) = (directory.path().join("node.pem"), directory.path().join("node.key"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl runs: install the package openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let fleet: Vec<_> = (0..5).map(|_| Memcached::start_with_tls(&certificate, &key)).collect();
    let chunks = chunks(20, 100_000);
    let tls = Tls::trusting(&std::fs::read(&certificate).unwrap(), None).unwrap();
    let (remote, _) = filled(&fleet, &chunks, RemoteOptions { tls: Some(tls), ..patient() }).await;
    read_all(&remote, &chunks).await;
    let counts = remote.counts();
    assert_eq!((counts.fills, counts.hits), (20, 20), "{counts:?}");
    // In the clear there is no fleet, and no error either.
    let (clear, below) = offered(&fleet, &chunks, RemoteOptions::default()).await;
    assert_eq!((clear.counts().hits, below.gets()), (0, 20));
    assert!(Tls::trusting(b"no certificate", None).is_err());
}
