//! What an agent's page of metrics has, by name.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::page::{Labels, Page};
use crate::control::{AgentStats, Prefetched};

/// Every metric of an agent.
#[derive(Debug)]
pub(super) struct Families(pub(super) AgentStats);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let mut page = Page(&mut encoder);
        page.reads(&self.0)?;
        page.levels(&self.0)?;
        page.prefetches(&self.0.prefetch)
    }
}

impl Page<'_, '_> {
    fn reads(&mut self, agent: &AgentStats) -> Result<(), Error> {
        let only = |value: u64| [(&[] as &Labels<'_>, value)];
        self.gauge("agent_chunks", "Chunks that the image has", &only(agent.chunks_total))?;
        self.counter("agent_chunks_touched", "Chunks that a read needed", &only(agent.chunks_touched))?;
        self.counter(
            "agent_read_bytes",
            "What was read of the image, each block once",
            &only(agent.read_bytes),
        )?;
        self.counter("agent_hits", "Reads that found their chunk decoded", &only(agent.hits))?;
        self.counter("agent_requests", "Sealed chunks asked of the tiers", &only(agent.requests))?;
        self.counter("agent_fetched_bytes", "Sealed bytes that the tiers gave", &only(agent.fetched_bytes))?;
        self.counter("agent_decoded_bytes", "Bytes of chunks after opening", &only(agent.decoded_bytes))?;
        self.counter("agent_errors", "Chunks that could not be fetched or opened", &only(agent.errors))?;
        self.counter("agent_stalls", "Reads that waited for a chunk", &only(agent.waits.count))?;
        self.counter("agent_stall_microseconds", "How long reads waited", &only(agent.waits.total_us))
    }

    fn levels(&mut self, agent: &AgentStats) -> Result<(), Error> {
        let each = |value: fn(&frazil_cache::host::MeterCounts) -> u64| {
            agent.levels.iter().map(move |(level, counts)| (level.as_str(), value(counts)))
        };
        self.by_label(
            "agent_chunks_from",
            "Chunks that a level had",
            "level",
            each(|counts| counts.answers),
        )?;
        let bytes = each(|counts| counts.answer_bytes);
        self.by_label("agent_bytes_from", "Sealed bytes that a level had", "level", bytes)?;
        self.latency("agent_latency_seconds", "Time to a chunk by who had it", "level", &agent.levels)
    }

    fn prefetches(&mut self, prefetch: &[Prefetched]) -> Result<(), Error> {
        let each = |value: fn(&Prefetched) -> u64| {
            prefetch.iter().map(move |ahead| (ahead.source.as_str(), value(ahead)))
        };
        self.by_label(
            "agent_prefetched",
            "Chunks fetched ahead",
            "source",
            each(|ahead| ahead.fetched_chunks),
        )?;
        let bytes = each(|ahead| ahead.fetched_bytes);
        self.by_label("agent_prefetched_bytes", "Sealed bytes fetched ahead", "source", bytes)?;
        self.by_label(
            "agent_prefetch_used",
            "Of them, chunks that were read",
            "source",
            each(|ahead| ahead.used_chunks),
        )?;
        let unread = each(|ahead| ahead.evicted_chunks);
        self.by_label("agent_prefetch_wasted", "Of them, chunks thrown away unread", "source", unread)?;
        self.by_label(
            "agent_prefetch_failed",
            "Prefetches that failed",
            "source",
            each(|ahead| ahead.failed_chunks),
        )
    }
}
