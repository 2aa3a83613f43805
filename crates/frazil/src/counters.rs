//! What the tiers count beside questions and answers, under the names that `frazil stats` and the metrics show.

use frazil_cache::host::Counter;
use frazil_cache::resilience::stack::OriginCounts;
use frazil_cache::{DiskCounts, MemoryCounts, RemoteCounts};
use frazil_store::Store;

fn counters<const N: usize>(tier: &str, values: [(&str, u64); N]) -> impl Iterator<Item = Counter> {
    values.map(|(name, value)| counter(tier, name, value, false)).into_iter()
}

fn gauges<const N: usize>(tier: &str, values: [(&str, u64); N]) -> impl Iterator<Item = Counter> {
    values.map(|(name, value)| counter(tier, name, value, true)).into_iter()
}

fn counter(tier: &str, name: &str, value: u64, gauge: bool) -> Counter {
    Counter { tier: tier.to_owned(), name: name.to_owned(), value, gauge }
}

/// The counters of the memory tier.
pub(crate) fn of_memory(counts: &MemoryCounts) -> Vec<Counter> {
    let grow = [
        ("hits", counts.hits),
        ("misses", counts.misses),
        ("fetches", counts.fetches),
        ("evictions", counts.evictions),
    ];
    let now = [("kept_chunks", counts.chunks), ("kept_bytes", counts.bytes)];
    counters("memory", grow).chain(gauges("memory", now)).collect()
}

/// The counters of the disk tier.
pub(crate) fn of_disk(counts: &DiskCounts) -> Vec<Counter> {
    let grow = [
        ("hits", counts.hits),
        ("misses", counts.misses),
        ("fills", counts.fills),
        ("dropped_fills", counts.dropped_fills),
        ("evictions", counts.evictions),
        ("quarantined", counts.quarantined),
        ("vanished", counts.vanished),
        ("bypassed", counts.bypassed),
    ];
    let now = [
        ("kept_chunks", counts.chunks),
        ("kept_bytes", counts.bytes),
        ("quarantine_bytes", counts.quarantine_bytes),
        ("pending_fills", counts.pending_fills),
    ];
    counters("disk", grow).chain(gauges("disk", now)).collect()
}

/// The counters of the remote tier.
pub(crate) fn of_remote(counts: &RemoteCounts) -> Vec<Counter> {
    let grow = [
        ("hits", counts.hits),
        ("reconstructed", counts.reconstructed),
        ("misses", counts.misses),
        ("hedges", counts.hedges),
        ("oversized", counts.oversized),
        ("fills", counts.fills),
        ("dropped_fills", counts.fill_drops),
        ("wrong_shards", counts.liars()),
    ];
    let up = counts.nodes.iter().filter(|node| node.is_up).count() as u64;
    let now = [("nodes", counts.nodes.len() as u64), ("nodes_up", up)];
    counters("remote", grow).chain(gauges("remote", now)).collect()
}

/// The counters of what guards the origin.
pub(crate) fn of_origin(counts: &OriginCounts) -> Vec<Counter> {
    let grow = [
        ("retries", counts.retry.retries),
        ("given_up", counts.retry.given_up),
        ("corrupt_answers", counts.retry.corrupt),
        ("hedges", counts.hedge.hedges),
        ("hedge_wins", counts.hedge.wins),
        ("refused_requests", counts.slots.refused),
        ("deadline_misses", counts.deadline_misses),
        ("attempt_deadline_misses", counts.attempt_deadline_misses),
        ("refused_mounts", counts.refused_mounts),
    ];
    let now = [("slots_held", counts.slots.held as u64), ("queue_depth", counts.slots.waiting as u64)];
    counters("origin", grow).chain(gauges("origin", now)).collect()
}

/// The counter of the roots that are read: `frazil_expired_root_reads_total`. It is zero for a store that is
/// not open yet.
pub(crate) fn of_roots(store: Option<&Store>) -> Counter {
    counter("expired_root", "reads", store.map_or(0, Store::expired_root_reads), false)
}
