//! What the tier did, for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::NodeCounts;

/// The counters of the tier.
#[derive(Default, Debug)]
pub(super) struct Counters {
    pub(super) hits: AtomicU64,
    pub(super) reconstructed: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) hedges: AtomicU64,
    pub(super) oversized: AtomicU64,
    pub(super) hit_bytes: AtomicU64,
    pub(super) fills: AtomicU64,
    pub(super) fill_drops: AtomicU64,
}

/// What the remote tier did since it was started. Counts are of chunks, unless they say otherwise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemoteCounts {
    /// Chunks that the fleet had.
    pub hits: u64,
    /// Those of them for which the parity stood in for a piece that was lost or late.
    pub reconstructed: u64,
    /// Chunks that came from the tier below.
    pub misses: u64,
    /// Chunks for which the tier below was asked before the fleet had answered.
    pub hedges: u64,
    /// Chunks that the nodes cannot take.
    pub oversized: u64,
    /// Sealed bytes of the hits.
    pub hit_bytes: u64,
    /// Chunks that were filled or healed: all shards that were to be written are.
    pub fills: u64,
    /// Chunks that were not, or not wholly: no room in the queue, nodes down, or shards refused.
    pub fill_drops: u64,
    /// What each node did.
    pub nodes: Vec<NodeCounts>,
}

impl RemoteCounts {
    /// Shards that were not what they should have been, on all nodes.
    pub fn liars(&self) -> u64 {
        self.nodes.iter().map(|node| node.liars).sum()
    }
}

impl Counters {
    pub(super) fn counts(&self, nodes: Vec<NodeCounts>) -> RemoteCounts {
        RemoteCounts {
            hits: self.hits.load(Relaxed),
            reconstructed: self.reconstructed.load(Relaxed),
            misses: self.misses.load(Relaxed),
            hedges: self.hedges.load(Relaxed),
            oversized: self.oversized.load(Relaxed),
            hit_bytes: self.hit_bytes.load(Relaxed),
            fills: self.fills.load(Relaxed),
            fill_drops: self.fill_drops.load(Relaxed),
            nodes,
        }
    }
}
