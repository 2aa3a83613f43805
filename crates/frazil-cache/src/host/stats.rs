//! What a host cache says of itself: JSON over the socket, and the source of its metrics.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::MeterCounts;

/// Everything that a host cache has counted since it was started.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct HostStats {
    /// Its process.
    pub pid: u32,
    /// For how long it has run, in seconds.
    pub uptime_s: u64,
    /// Its stack of tiers.
    pub stack: String,
    /// The agents.
    pub connections: Connections,
    /// What they asked.
    pub requests: Requests,
    /// What they were told instead of an answer.
    pub errors: Errors,
    /// Names and manifests.
    pub catalog: CatalogStats,
    /// Every tier, by its name, from the first that is asked to the last.
    pub tiers: Vec<(String, MeterCounts)>,
    /// What else the tiers count.
    pub counters: Vec<Counter>,
}

/// The agents' connections.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Connections {
    /// Now.
    pub open: u64,
    /// Ever.
    pub accepted: u64,
    /// Turned away because of their user.
    pub refused: u64,
    /// Turned away because there were too many.
    pub busy: u64,
    /// Ended because they did not keep to the protocol.
    pub garbled: u64,
    /// Ended because they did not read their answers.
    pub stuck: u64,
}

/// What was asked.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Requests {
    /// For chunks.
    pub chunks: u64,
    /// For what names stand for.
    pub references: u64,
    /// For pieces of manifests.
    pub manifests: u64,
    /// For profiles and pieces of bundles, to read or to write them.
    #[serde(default)]
    pub profiles: u64,
    /// Under way now.
    pub in_flight: u64,
    /// Given up by their askers.
    pub forgotten: u64,
    /// Prefetches that somebody waited for before they were answered.
    #[serde(default)]
    pub hurried: u64,
    /// Sealed bytes that were sent.
    pub chunk_bytes: u64,
}

/// What was answered instead of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Errors {
    /// Not there.
    pub not_found: u64,
    /// There, and wrong.
    pub corrupt: u64,
    /// Cannot be had now.
    pub transient: u64,
    /// Refused.
    pub denied: u64,
    /// Too much to do; the agent asks again.
    pub busy: u64,
}

/// Names and manifests that are kept.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct CatalogStats {
    /// Names that were answered from what was known last, because the origin could not be asked.
    pub last_known_references: u64,
    /// Manifests that were answered without the origin.
    pub manifest_hits: u64,
    /// Manifests that the origin was asked for.
    pub manifest_fetches: u64,
    /// Kept manifests and references that were damaged, and removed.
    pub damaged: u64,
}

/// A number that a tier counts beside questions and answers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Counter {
    /// The tier's name.
    pub tier: String,
    /// What is counted: `evictions`, `quarantined`, `kept_bytes`.
    pub name: String,
    /// How many.
    pub value: u64,
    /// Whether it can also go down.
    pub gauge: bool,
}

/// Where such numbers come from.
pub type CounterSource = Arc<dyn Fn() -> Vec<Counter> + Send + Sync>;
