//! What there is to scrape, by name.

use std::fmt::Error;

use frazil_cache::host::{Counter, HostServer, HostStats, MeterCounts};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::page::{Labels, Page};

/// Every metric of a host cache, read when it is scraped.
pub(super) struct Families(pub(super) HostServer);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let stats = self.0.stats();
        let mut page = Page(&mut encoder);
        page.agents(&stats)?;
        page.requests(&stats)?;
        page.whole(&stats)?;
        page.hits(&stats.tiers)?;
        page.tiers(&stats.tiers)?;
        page.counters(&stats.counters)
    }
}

impl std::fmt::Debug for Families {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Families")
    }
}

/// A reader that waits longer than this is kept waiting, in microseconds: an eighth of a second, a bound of
/// the histogram.
const STALL_US: u64 = 128_000;

/// What each tier had itself, and what it asked the next one for; the last one misses what is nowhere.
pub(crate) fn hits_and_misses(tiers: &[(String, MeterCounts)]) -> impl Iterator<Item = (&str, u64, u64)> {
    tiers.iter().enumerate().map(|(index, (name, counts))| {
        let below = tiers.get(index.saturating_add(1)).map(|(_, below)| below);
        let hits = counts.answers.saturating_sub(below.map_or(0, |below| below.answers));
        (name.as_str(), hits, below.map_or(counts.not_found, |below| below.requests))
    })
}

impl Page<'_, '_> {
    fn agents(&mut self, stats: &HostStats) -> Result<(), Error> {
        let agents = &stats.connections;
        self.gauge("agents", "Agents that are connected", &[(&[], agents.open)])?;
        let ended = [
            ("user", agents.refused),
            ("room", agents.busy),
            ("garbled", agents.garbled),
            ("stuck", agents.stuck),
        ];
        self.counter("agents_accepted", "Agents that were ever connected", &[(&[], agents.accepted)])?;
        self.by_label("agents_turned_away", "Agents that were turned away or let go", "reason", ended)
    }

    fn requests(&mut self, stats: &HostStats) -> Result<(), Error> {
        let requests = &stats.requests;
        let asked = [
            ("chunk", requests.chunks),
            ("manifest", requests.manifests),
            ("profile", requests.profiles),
            ("reference", requests.references),
        ];
        self.by_label("requests", "What agents asked for", "kind", asked)?;
        self.gauge("requests_in_flight", "Requests that wait for an answer", &[(&[], requests.in_flight)])?;
        let sent = [(&[] as &Labels<'_>, requests.chunk_bytes)];
        self.counter("chunk_bytes", "Sealed bytes that were sent to agents", &sent)?;
        let errors = &stats.errors;
        let refused = [
            ("busy", errors.busy),
            ("not_found", errors.not_found),
            ("corrupt", errors.corrupt),
            ("transient", errors.transient),
            ("denied", errors.denied),
        ];
        self.by_label(
            "refusals",
            "Requests that were not answered with what they asked for",
            "class",
            refused,
        )?;
        let catalog = &stats.catalog;
        let events = [
            ("manifest_hit", catalog.manifest_hits),
            ("manifest_fetch", catalog.manifest_fetches),
            ("last_known_reference", catalog.last_known_references),
            ("damaged_file", catalog.damaged),
        ];
        self.by_label("catalog_events", "What happened to names and manifests", "event", events)
    }

    fn whole(&mut self, stats: &HostStats) -> Result<(), Error> {
        let hurried = [(&[] as &Labels<'_>, stats.requests.hurried)];
        self.counter("requests_hurried", "Prefetches that a reader joined", &hurried)?;
        let stalls = stats.tiers.first().map_or(0, |(_, counts)| counts.latency.count_above(STALL_US));
        let help = "Chunks that took more than an eighth of a second";
        self.counter("stalls", help, &[(&[], stalls)])?;
        let fetched = stats.tiers.last().map_or(0, |(_, counts)| counts.answer_bytes);
        let sent = stats.requests.chunk_bytes;
        let amplification = if sent == 0 { 0.0 } else { fetched as f64 / sent as f64 };
        self.ratio("amplification", "Bytes from the origin for each byte sent to agents", amplification)
    }

    fn hits(&mut self, tiers: &[(String, MeterCounts)]) -> Result<(), Error> {
        let had = hits_and_misses(tiers).map(|(tier, hits, _)| (tier, hits));
        self.by_label("tier_hits", "Chunks that a tier had itself", "tier", had)?;
        let missed = hits_and_misses(tiers).map(|(tier, _, misses)| (tier, misses));
        self.by_label("tier_misses", "Chunks that a tier did not have", "tier", missed)
    }

    fn tiers(&mut self, tiers: &[(String, MeterCounts)]) -> Result<(), Error> {
        let each = |value: fn(&MeterCounts) -> u64| {
            tiers.iter().map(move |(tier, counts)| (tier.as_str(), value(counts)))
        };
        self.by_label("tier_requests", "Questions to a tier", "tier", each(|tier| tier.requests))?;
        self.by_label("tier_answers", "Chunks that a tier gave", "tier", each(|tier| tier.answers))?;
        self.by_label(
            "tier_answer_bytes",
            "Sealed bytes a tier gave",
            "tier",
            each(|tier| tier.answer_bytes),
        )?;
        self.by_label("tier_abandoned", "Questions nobody waited for", "tier", each(|tier| tier.abandoned))?;
        let failures = tiers.iter().flat_map(|(tier, counts)| {
            let classes = [
                ("not_found", counts.not_found),
                ("corrupt", counts.corrupt),
                ("transient", counts.transient),
                ("denied", counts.denied),
            ];
            classes.map(|(class, count)| ([("tier", tier.as_str()), ("class", class)], count))
        });
        let failures: Vec<_> = failures.collect();
        let rows: Vec<_> = failures.iter().map(|(labels, count)| (&labels[..], *count)).collect();
        self.counter("tier_failures", "Questions that a tier has no answer to", &rows)?;
        let waiting: Vec<_> =
            tiers.iter().map(|(tier, counts)| ([("tier", tier.as_str())], counts.in_flight)).collect();
        let rows: Vec<_> = waiting.iter().map(|(labels, count)| (&labels[..], *count)).collect();
        self.gauge("tier_in_flight", "Questions that a tier has not answered yet", &rows)?;
        self.latency("tier_latency_seconds", "Time to a chunk", "tier", tiers)
    }

    /// What the tiers count themselves: `frazil_disk_evictions_total`, `frazil_memory_kept_bytes`.
    fn counters(&mut self, counters: &[Counter]) -> Result<(), Error> {
        for Counter { tier, name, value, gauge } in counters {
            let (metric, help) = (format!("{tier}_{name}"), format!("{name} of the {tier} tier"));
            let rows = [(&[] as &Labels<'_>, *value)];
            if *gauge { self.gauge(&metric, &help, &rows)? } else { self.counter(&metric, &help, &rows)? }
        }
        Ok(())
    }
}
