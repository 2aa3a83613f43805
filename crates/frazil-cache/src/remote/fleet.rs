//! The nodes of the moment, and where each chunk's shards lie among them.

use std::sync::Arc;

use frazil_format::ChunkId;

use super::node::Node;
use super::placement::heaviest;
use super::shard::SHARDS;
use super::{NodeAddress, RemoteOptions};
use crate::Wanted;

/// Nodes next in order after the five homes of a chunk, which stand in for those that are down or overloaded.
pub(super) const SPARES: usize = 2;

/// Up to this many questions under way are no overload, whatever the mean: a burst of misses on an idle fleet
/// must not pass nodes over for being a few questions ahead of each other.
const EASY_QUESTIONS: usize = 48;

/// A fleet at one moment. It never changes: another membership is another fleet, with the same nodes in it.
#[derive(Default, Debug)]
pub(super) struct Fleet {
    nodes: Vec<Arc<Node>>,
}

/// Where one shard of a chunk may lie.
#[derive(Clone, Debug)]
pub(super) struct Position {
    pub(super) node: Arc<Node>,
    /// Tells the shards of a chunk on one node apart. Zero, unless the fleet has fewer nodes than shards.
    slot: usize,
}

impl Position {
    /// The key of the shard there. It does not say which shard it is: the shard does.
    pub(super) fn key(&self, wanted: &Wanted) -> String {
        format!("f1:{}:{}:{}", wanted.root, wanted.id, self.slot)
    }
}

impl Fleet {
    /// The fleet of these addresses; where this one has a node at an address, it keeps that node.
    pub(super) fn changed_to(&self, mut addresses: Vec<NodeAddress>, options: &RemoteOptions) -> Self {
        addresses.sort_unstable();
        addresses.dedup_by(|a, b| a.authority() == b.authority());
        let node = |address: NodeAddress| match self.nodes.iter().find(|node| node.address == address) {
            Some(node) => Arc::clone(node),
            None => Arc::new(Node::start(address, options)),
        };
        Self { nodes: addresses.into_iter().map(node).collect() }
    }

    pub(super) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// Where the shards of a chunk lie: its five homes, then the spares. A fleet of fewer than five nodes has no
    /// spares, and several homes on one node.
    pub(super) fn positions(&self, id: &ChunkId) -> Vec<Position> {
        let order = heaviest(self.nodes.iter().map(|node| node.seed), id, SHARDS + SPARES);
        if order.is_empty() {
            return Vec::new();
        }
        let rounds = if order.len() < SHARDS { SHARDS.div_ceil(order.len()) } else { 1 };
        let positions = (0..rounds).flat_map(|slot| order.iter().map(move |&node| (node, slot)));
        let bound = if rounds > 1 { SHARDS } else { SHARDS + SPARES };
        positions
            .take(bound)
            .filter_map(|(node, slot)| Some(Position { node: Arc::clone(self.nodes.get(node)?), slot }))
            .collect()
    }

    /// Whether the node takes fills: it is up, and not much busier than the fleet.
    pub(super) fn takes_fills(&self, node: &Node, load_bound_percent: usize) -> bool {
        let load = node.vitals.in_flight();
        let total: usize = self.nodes.iter().map(|node| node.vitals.in_flight()).sum();
        let is_overloaded =
            load > EASY_QUESTIONS && load * self.nodes.len() * 100 > total * load_bound_percent;
        node.vitals.breaker.is_closed() && !is_overloaded
    }
}
