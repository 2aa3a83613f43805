//! What the fleet can do to its readers: nothing. Every fault is done to real nodes while chunks are read, and
//! every answer is held to the truth.

use std::time::Duration;

use frazil_cache::testing::{Fault, FaultProxy};
use frazil_cache::{Nodes, Remote, RemoteOptions, Tier, Wanted};
use frazil_format::SealedChunk;

use crate::below::{Below, chunks};
use crate::fleet::Memcached;
use crate::remote::{filled, key, listed, nodes, patient, read_all};
use crate::stages::until;

/// A deadline that a test can wait for.
fn brisk() -> RemoteOptions {
    let (hedge, deadline) = (Duration::from_millis(5), Duration::from_millis(50));
    RemoteOptions { hedge, deadline, ..RemoteOptions::default() }
}

/// Reads until the fleet alone has everything again, whatever it went through.
async fn recovers(remote: &Remote<Below>, below: &Below, chunks: &[(Wanted, SealedChunk)]) {
    loop {
        let before = below.gets();
        read_all(remote, chunks).await;
        remote.settled().await;
        let is_up = remote.counts().nodes.iter().all(|node| node.is_up);
        if is_up && below.gets() == before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_node_is_not_waited_for() {
    let (fleet, chunks) = (nodes(5), chunks(50, 20_000));
    // Nothing gives up in 20 s: were the frozen node waited for, neither would this.
    let (remote, below) = filled(&fleet, &chunks, patient()).await;
    below.switch_off();
    fleet[2].freeze();
    read_all(&remote, &chunks).await;
    let counts = remote.counts();
    assert_eq!((counts.hits, counts.hedges, counts.misses), (50, 0, 50), "{counts:?}");
    assert!(counts.reconstructed > 0, "the parity stands in");
    fleet[2].thaw();
    read_all(&remote, &chunks).await;
    assert_eq!(remote.counts().hits, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_node_is_not_waited_for() {
    let (fleet, chunks) = (nodes(5), chunks(30, 20_000));
    let proxy = FaultProxy::start(fleet[0].address).unwrap();
    let mut addresses: Vec<_> = fleet.iter().map(|node| node.address).collect();
    addresses[0] = proxy.address();
    let listed = Nodes::Listed(addresses.iter().map(|node| node.to_string().parse().unwrap()).collect());
    let below = Below::with(chunks.clone());
    let remote = Remote::start(below.clone(), listed, patient()).await;
    read_all(&remote, &chunks).await;
    remote.settled().await;
    below.switch_off();
    for fault in [
        Fault::Latency(Duration::from_secs(3600)),
        Fault::SlowDrip { bytes: 1, pause: Duration::from_secs(3600) },
        Fault::BlackHole,
    ] {
        proxy.set(fault.clone());
        read_all(&remote, &chunks).await;
        assert_eq!(remote.counts().hedges, 0, "{fault:?}");
    }
    assert_eq!(remote.counts().hits, 90);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_costs_no_miss_and_one_that_comes_back_empty_is_healed() {
    let (mut fleet, chunks) = (nodes(5), chunks(50, 20_000));
    let (remote, below) = filled(&fleet, &chunks, brisk()).await;
    fleet[1].kill();
    for _ in 0..5 {
        read_all(&remote, &chunks).await;
    }
    assert_eq!(remote.counts().liars(), 0);
    fleet[1].restart();
    while fleet[1].raw().stat("curr_items") < 50 {
        read_all(&remote, &chunks).await;
        remote.settled().await;
    }
    recovers(&remote, &below, &chunks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_fails_again_and_again_is_left_alone_until_it_answers() {
    let (fleet, chunks) = (nodes(5), chunks(40, 5_000));
    let (remote, below) = filled(&fleet, &chunks, brisk()).await;
    fleet[3].freeze();
    let name = fleet[3].address.to_string();
    let frozen = || remote.counts().nodes.into_iter().find(|node| node.node == name).unwrap();
    while frozen().is_up {
        read_all(&remote, &chunks).await;
    }
    assert!(frozen().timeouts > 0, "{:?}", frozen());
    let asked_before = frozen().failures;
    for _ in 0..20 {
        read_all(&remote, &chunks).await;
    }
    // 800 reads; asked were only the probes.
    assert!(frozen().failures < asked_before + 200, "{:?}", frozen());
    fleet[3].thaw();
    recovers(&remote, &below, &chunks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_fleet_is_a_fleet_of_misses_and_comes_back_by_itself() {
    let (mut fleet, chunks) = (nodes(5), chunks(30, 20_000));
    let (remote, below) = filled(&fleet, &chunks, brisk()).await;
    fleet.iter_mut().for_each(Memcached::kill);
    for _ in 0..5 {
        read_all(&remote, &chunks).await;
    }
    assert!(below.gets() >= 30 + 5 * 30 - 30, "{}", below.gets());
    fleet.iter_mut().for_each(Memcached::restart);
    recovers(&remote, &below, &chunks).await;
    fleet.iter().for_each(Memcached::freeze);
    read_all(&remote, &chunks).await;
    fleet.iter().for_each(Memcached::thaw);
    recovers(&remote, &below, &chunks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_answers_when_the_tier_below_does_not() {
    let (fleet, chunks) = (nodes(5), chunks(20, 20_000));
    drop(filled(&fleet, &chunks, patient()).await);
    let below = Below::with(chunks.clone());
    below.switch_off();
    let hedged = RemoteOptions { hedge: Duration::ZERO, ..patient() };
    let remote = Remote::start(below.clone(), listed(&fleet), hedged).await;
    read_all(&remote, &chunks).await;
    assert_eq!(remote.counts().hits, 20);
    // And the other way round.
    below.switch_on();
    fleet.iter().for_each(Memcached::freeze);
    read_all(&remote, &chunks).await;
    fleet.iter().for_each(Memcached::thaw);
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_of_nodes_that_are_down_go_to_spares_and_are_found_there_by_every_host() {
    let (mut fleet, known, fresh) = (nodes(8), chunks(20, 5_000), chunks(60, 5_100));
    let below = Below::with(known.iter().chain(&fresh).cloned());
    let remote = Remote::start(below.clone(), listed(&fleet), patient()).await;
    fleet[0].kill();
    fleet[1].kill();
    while remote.counts().nodes.iter().filter(|node| node.is_up).count() != 6 {
        read_all(&remote, &known).await;
    }
    read_all(&remote, &fresh).await;
    remote.settled().await;
    below.switch_off();
    read_all(&remote, &fresh).await;
    // This one does not know yet who is down: homes that have three shards send it to the spares.
    let other = Remote::start(below.clone(), listed(&fleet), patient()).await;
    read_all(&other, &fresh).await;
    assert_eq!(other.counts().hits, 60, "{:?}", other.counts());
}

/// Every fault of the proxy before every node of the fleet in turn, during reads by many readers.
#[tokio::test(flavor = "multi_thread")]
async fn the_outage_matrix_costs_neither_an_error_nor_a_wrong_byte() {
    let (fleet, chunks) = (nodes(5), chunks(48, 60_000));
    let proxies: Vec<_> = fleet.iter().map(|node| FaultProxy::start(node.address).unwrap()).collect();
    let addresses = proxies.iter().map(|proxy| proxy.address().to_string().parse().unwrap());
    let below = Below::with(chunks.clone());
    let remote = Remote::start(below.clone(), Nodes::Listed(addresses.collect()), brisk()).await;
    recovers(&remote, &below, &chunks).await;
    for fault in [
        Fault::BlackHole,
        Fault::Reset { after_bytes: 10_000 },
        Fault::Truncate { after_bytes: 20_000 },
        Fault::SlowDrip { bytes: 100, pause: Duration::from_millis(1) },
        Fault::Latency(Duration::from_millis(20)),
        Fault::Corrupt { every_bytes: 7001 },
        Fault::Corrupt { every_bytes: 3 },
        Fault::Answer { status: 503, retry_after_s: Some(1) },
    ] {
        for broken in [1, 2, 5] {
            proxies.iter().take(broken).for_each(|proxy| proxy.set(fault.clone()));
            read_all(&remote, &chunks).await;
            read_all(&remote, &chunks).await;
            proxies.iter().for_each(|proxy| proxy.set(Fault::Pass));
        }
        recovers(&remote, &below, &chunks).await;
    }
}

/// What liars put under the key of a shard.
type Lie = fn(item: &[u8], of_another_chunk: &[u8], of_another_node: &[u8]) -> Vec<u8>;

const LIES: [(&str, Lie); 7] = [
    ("garbage", |item, _, _| item.iter().map(|byte| byte.wrapping_mul(31).wrapping_add(7)).collect()),
    ("one wrong byte", |item, _, _| {
        let mut lie = item.to_vec();
        lie[100] ^= 1;
        lie
    }),
    ("a shard of another chunk", |_, other, _| other.to_vec()),
    ("another shard's body", |item, _, node| [&item[..48], &node[48..]].concat()),
    ("too short", |item, _, _| item[..item.len() / 2].to_vec()),
    ("too long", |item, _, _| [item, item].concat()),
    ("nothing", |_, _, _| Vec::new()),
];

#[tokio::test(flavor = "multi_thread")]
async fn one_lying_node_is_found_among_five_and_healed_without_a_miss() {
    let (fleet, chunks) = (nodes(5), chunks(24, 20_000));
    let (remote, below) = filled(&fleet, &chunks, patient()).await;
    below.switch_off();
    let mut liar = fleet[4].raw();
    let mut honest = fleet[0].raw();
    for (name, lie) in LIES {
        let before = remote.counts().liars();
        let truths: Vec<_> = chunks.iter().map(|(wanted, _)| liar.get(&key(wanted)).unwrap()).collect();
        for (number, (wanted, _)) in chunks.iter().enumerate() {
            let of_another_chunk = &truths[(number + 1) % truths.len()];
            let of_another_node = honest.get(&key(wanted)).unwrap();
            liar.set(&key(wanted), &lie(&truths[number], of_another_chunk, &of_another_node));
        }
        // A lie that comes fifth is not even looked at: it is found by one of the next reads.
        while remote.counts().liars() < before + 24 {
            read_all(&remote, &chunks).await;
            remote.settled().await;
        }
        for ((wanted, _), truth) in chunks.iter().zip(&truths) {
            assert!(liar.get(&key(wanted)).unwrap() == *truth, "{name}: what lied is written again");
        }
        let counts = remote.counts();
        let elsewhere: u64 = counts
            .nodes
            .iter()
            .filter(|node| node.node != fleet[4].address.to_string())
            .map(|node| node.liars)
            .sum();
        assert_eq!(elsewhere, 0, "{name}: nobody is blamed for another's lie");
    }
    assert_eq!(remote.counts().misses, 24, "all of them the first reads");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lying_nodes_are_found_by_the_tier_below() {
    let (fleet, chunks) = (nodes(5), chunks(24, 20_000));
    let (remote, below) = filled(&fleet, &chunks, patient()).await;
    for liar in [1, 3] {
        let mut raw = fleet[liar].raw();
        for (wanted, _) in &chunks {
            let mut item = raw.get(&key(wanted)).unwrap();
            item[100] ^= 1;
            raw.set(&key(wanted), &item);
        }
    }
    read_all(&remote, &chunks).await;
    remote.settled().await;
    let counts = remote.counts();
    assert_eq!((below.gets(), counts.liars()), (48, 48), "{counts:?}");
    let lies = |node: usize| {
        let name = fleet[node].address.to_string();
        counts.nodes.iter().find(|node| node.node == name).unwrap().liars
    };
    assert_eq!([0, 1, 2, 3, 4].map(lies), [0, 24, 0, 24, 0]);
    read_all(&remote, &chunks).await;
    assert_eq!(below.gets(), 48, "healed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_is_too_small_for_the_working_set_evicts_and_goes_on() {
    let fleet: Vec<_> = (0..5).map(|_| Memcached::start_with(&["-m", "2"])).collect();
    let chunks = chunks(120, 300_000);
    let (remote, _) = filled(&fleet, &chunks, patient()).await;
    for _ in 0..2 {
        read_all(&remote, &chunks).await;
        remote.settled().await;
    }
    assert!(fleet.iter().map(|node| node.raw().stat("evictions")).sum::<u64>() > 0);
    let counts = remote.counts();
    assert_eq!(counts.hits + counts.misses, 360, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_give_up_leave_the_connections_in_order() {
    let (fleet, chunks) = (nodes(5), chunks(40, 50_000));
    let (remote, below) = filled(&fleet, &chunks, patient()).await;
    below.switch_off();
    for patience in 0..60 {
        for (wanted, _) in &chunks {
            let reader = remote.get(wanted);
            let _ = tokio::time::timeout(Duration::from_micros(patience * 10), reader).await;
        }
    }
    // Those who were dropped before a task saw them may be under way for a moment. While a busy machine leaves the
    // queues full of them there is no room for a question, and the store, which is switched off, would be asked.
    until("nothing is under way", || remote.counts().nodes.iter().all(|node| node.in_flight == 0)).await;
    read_all(&remote, &chunks).await;
    let counts = remote.counts();
    assert!(counts.nodes.iter().all(|node| node.failures == 0 && node.is_up), "{counts:?}");
    until("nothing is left under way", || remote.counts().nodes.iter().all(|node| node.in_flight == 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fills_that_find_no_room_are_dropped_and_counted() {
    let (fleet, chunks) = (nodes(5), chunks(64, 100_000));
    let proxies: Vec<_> = fleet.iter().map(|node| FaultProxy::start(node.address).unwrap()).collect();
    let addresses = proxies.iter().map(|proxy| proxy.address().to_string().parse().unwrap());
    // Room for two chunks.
    let options = RemoteOptions { fill_queue_bytes: 250_000, ..patient() };
    let below = Below::with(chunks.clone());
    let remote = Remote::start(below.clone(), Nodes::Listed(addresses.collect()), options).await;
    // Sixteen readers miss at once, and no fill is done before the last of them has its chunk.
    proxies.iter().for_each(|proxy| proxy.set(Fault::Latency(Duration::from_millis(100))));
    read_all(&remote, &chunks).await;
    remote.settled().await;
    let counts = remote.counts();
    assert!(counts.fills >= 2 && counts.fill_drops > 0, "{counts:?}");
    assert_eq!(counts.fills + counts.fill_drops, 64, "{counts:?}");
    proxies.iter().for_each(|proxy| proxy.set(Fault::Pass));
    recovers(&remote, &below, &chunks).await;
}
