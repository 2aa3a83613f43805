//! `frazil stats`: what a host cache, or the agent of a mount, has done so far.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use frazil_cache::host::{HostCache, HostCacheOptions, HostStats, MeterCounts};

use super::explain;
use crate::cli::Global;
use crate::control::{self, AgentStats, Question};
use crate::exit::Exit;
use crate::failure::Advise;
use crate::output::{self, Table, bytes, percent};
use crate::{host_cache, metrics, mount_record, wiring};

/// How long a host cache may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Show what the host cache has done, or the agent of a mounted directory
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A mounted directory: show what its agent has done
    #[arg(value_name = "DIR", conflicts_with = "socket")]
    directory: Option<PathBuf>,

    /// The host cache's socket [default: $FRAZIL_CACHED_SOCKET, $XDG_RUNTIME_DIR/frazil/cached.sock,
    /// or /run/frazil/cached.sock]
    #[arg(long, value_name = "PATH")]
    #[allow(dead_code, reason = "read through the configuration")]
    socket: Option<PathBuf>,

    /// Print everything as JSON
    #[arg(long)]
    json: bool,

    /// Print the agent's metrics in the text format of Prometheus: for a collector of text files, since an agent
    /// that is closed in serves no network
    #[arg(long, requires = "directory", conflicts_with = "json")]
    prometheus: bool,
}

/// Asks and shows.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    match &args.directory {
        Some(directory) => of_agent(args, &mount_record::canonical(directory)?),
        None => of_host_cache(args, global),
    }
}

fn of_agent(args: &Args, directory: &Path) -> Result<Exit> {
    let stats: AgentStats = control::ask(directory, Question::Stats)?;
    if args.prometheus {
        output::print(&metrics::of_agent(stats)?)?;
    } else if args.json {
        output::json(&stats)?;
    } else {
        let levels: Vec<_> = stats.levels.iter().filter(|(_, counts)| counts.answers > 0).cloned().collect();
        output::print(&format!("{}\n{}", explain::summary(&stats), level_table(&levels)))?;
    }
    Ok(Exit::SUCCESS)
}

fn of_host_cache(args: &Args, global: &Global) -> Result<Exit> {
    let socket = host_cache::socket(global.config()?)?;
    let stats = wiring::runtime()?.block_on(async {
        let cache = HostCache::new(&socket, HostCacheOptions { patience: PATIENCE });
        cache.ping_once().await?;
        cache.stats().await
    });
    let stats = stats
        .with_context(|| format!("no host cache answers at {}", socket.display()))
        .hint("start one with frazil cached, or say where it is: --socket")?;
    if args.json {
        output::json(&stats)?;
    } else {
        output::print(&in_words(&stats))?;
    }
    Ok(Exit::SUCCESS)
}

fn in_words(stats: &HostStats) -> String {
    let HostStats { connections, requests, errors, catalog, .. } = stats;
    let uptime = output::duration(Duration::from_secs(stats.uptime_s));
    let mut text = format!("process {}, for {uptime}\n{}\n\n", stats.pid, stats.stack);
    text += &format!(
        "agents    {} now, {} ever; turned away: {} by user, {} for want of room; let go: {} garbled, {} stuck\n",
        connections.open,
        connections.accepted,
        connections.refused,
        connections.busy,
        connections.garbled,
        connections.stuck
    );
    text += &format!(
        "requests  {} chunks ({}), {} manifests, {} names; {} under way, {} given up\n",
        requests.chunks,
        bytes(requests.chunk_bytes),
        requests.manifests,
        requests.references,
        requests.in_flight,
        requests.forgotten
    );
    text += &format!(
        "refusals  {} busy, {} not found, {} corrupt, {} transient, {} denied\n",
        errors.busy, errors.not_found, errors.corrupt, errors.transient, errors.denied
    );
    text += &format!(
        "catalog   {} manifests kept, {} fetched; {} names as last known; {} damaged files\n\n",
        catalog.manifest_hits, catalog.manifest_fetches, catalog.last_known_references, catalog.damaged
    );
    text += &tier_table(&stats.tiers);
    text.push('\n');
    let mut table = Table::new(&["TIER", "COUNTER", "VALUE"]);
    for counter in stats.counters.iter().filter(|counter| counter.value > 0) {
        table.row(vec![counter.tier.clone(), counter.name.clone(), counter.value.to_string()]);
    }
    text + &table.render()
}

fn tier_table(tiers: &[(String, MeterCounts)]) -> String {
    let mut table =
        Table::new(&["TIER", "ASKED", "HITS", "RATE", "BYTES", "P50", "P99", "FAILED", "UNDER WAY"]);
    for ((name, counts), (_, hits, _)) in tiers.iter().zip(metrics::hits_and_misses(tiers)) {
        let failed = counts.not_found + counts.corrupt + counts.transient + counts.denied;
        table.row(vec![
            name.clone(),
            counts.requests.to_string(),
            hits.to_string(),
            percent(hits, counts.requests),
            bytes(counts.answer_bytes),
            at_most(counts.latency.quantile_us(0.5)),
            at_most(counts.latency.quantile_us(0.99)),
            failed.to_string(),
            counts.in_flight.to_string(),
        ]);
    }
    table.render()
}

/// What came from where, and how long it took.
fn level_table(levels: &[(String, MeterCounts)]) -> String {
    let mut table = Table::new(&["FROM", "CHUNKS", "BYTES", "P50", "P99"]);
    for (level, counts) in levels {
        table.row(vec![
            level.clone(),
            counts.answers.to_string(),
            bytes(counts.answer_bytes),
            at_most(counts.latency.quantile_us(0.5)),
            at_most(counts.latency.quantile_us(0.99)),
        ]);
    }
    table.render()
}

/// A bucket's bound, for people.
fn at_most(us: Option<u64>) -> String {
    match us {
        None => "-".to_owned(),
        Some(u64::MAX) => "> 64 s".to_owned(),
        Some(us @ ..1000) => format!("≤ {us} µs"),
        Some(us @ ..1_000_000) => format!("≤ {} ms", us / 1000),
        Some(us) => format!("≤ {} s", us / 1_000_000),
    }
}
