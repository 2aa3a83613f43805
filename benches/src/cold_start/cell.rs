//! One start, as it is kept.

use serde::{Deserialize, Serialize};

use super::contender::{Contender, Start};

/// The figures of one start.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) image: String,
    pub(crate) contender: Contender,
    pub(crate) repeat: usize,
    pub(crate) mounted_s: f64,
    pub(crate) line_s: f64,
    pub(crate) down_bytes: u64,
    pub(crate) requests: u64,
    pub(crate) connections: u64,
    pub(crate) agent_cpu_s: f64,
    pub(crate) agent_memory_bytes: u64,
}

impl Cell {
    pub(crate) fn new(image: &str, contender: Contender, repeat: usize, start: &Start) -> Self {
        Self {
            image: image.to_owned(),
            contender,
            repeat,
            mounted_s: start.mounted.as_secs_f64(),
            line_s: start.line.as_secs_f64(),
            down_bytes: start.traffic.down_bytes,
            requests: start.traffic.exchanges,
            connections: start.traffic.connections,
            agent_cpu_s: start.agent.cpu_s,
            agent_memory_bytes: start.agent.memory_bytes,
        }
    }

    /// What its file is called.
    pub(crate) fn name(image: &str, contender: Contender, repeat: usize) -> String {
        format!("{image}.{}.{repeat}", contender.word())
    }
}
