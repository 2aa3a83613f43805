//! `frazil hydrate`: an image, completed on this host while nobody waits for it.
//!
//! Every chunk is fetched through the host's tiers, behind whatever reads, and stays where they keep chunks. What is
//! there already is answered from there, so an attempt that was ended goes on where it was.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use frazil_mount::{ChunkIndex, Counters, Image, RunCounts, Source};

use crate::cli::Global;
use crate::control::{self, Question};
use crate::exit::Exit;
use crate::failure::Advise;
use crate::host_cache::{CacheArgs, Choice};
use crate::mount_record::{self, Served};
use crate::output::{self, bytes, duration, note};
use crate::progress::Share;
use crate::size::Size;
use crate::supply::Supply;
use crate::tiers::TierArgs;
use crate::wiring::{self, Absent};

/// How often the terminal is told how far it is, and a rate is kept.
const TICK: Duration = Duration::from_millis(250);

/// This many chunks that could not be fetched, and none since that could, end it: the store is away.
const FAILURES_MAX: u64 = 16;

/// Complete an image on this host
///
/// Fetches every chunk into the tiers of the host cache, or into this user's own disk tier where there is none, behind
/// everything that is read meanwhile. What is there already is not fetched again.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The image's name in the store, or the directory where it is mounted
    #[arg(value_name = "NAME|DIR")]
    target: String,

    /// Fetch at most this many bytes per second
    #[arg(long, value_name = "SIZE")]
    rate: Option<Size>,

    /// Print what was fetched as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    #[allow(dead_code, reason = "read through the configuration")]
    cache: CacheArgs,

    #[command(flatten)]
    #[allow(dead_code, reason = "read through the configuration")]
    tiers: TierArgs,
}

/// Completes it.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    let host_cache = Choice::find(global.config()?)?;
    let directory = mount_record::canonical(Path::new(&args.target))?;
    let served = mount_record::served_at(&directory)?;
    match served {
        Some(served) if host_cache.is_none() => ask(&directory, &served, args, global),
        Some(Served { image, .. }) => fetch(&image, host_cache.as_deref(), args, global),
        None => fetch(&args.target, host_cache.as_deref(), args, global),
    }
}

/// The tiers of a mount without a host cache are its agent's.
fn ask(directory: &Path, served: &Served, args: &Args, global: &Global) -> Result<Exit> {
    if args.rate.is_some() {
        return Err(anyhow!("{} is read without a host cache: its agent cannot limit its rate", args.target))
            .hint("leave --rate out: its readers go first in any case");
    }
    control::ask::<()>(directory, Question::Complete)?;
    if args.json {
        output::json(&serde_json::json!({ "image": served.image, "asked_pid": served.pid }))?;
    } else if global.quiet == 0 {
        note(format!("{}: the process that serves {} fetches the rest", served.image, args.target));
    }
    Ok(Exit::SUCCESS)
}

fn fetch(name: &str, host_cache: Option<&Path>, args: &Args, global: &Global) -> Result<Exit> {
    wiring::runtime()?.block_on(async {
        let supply = Supply::open(global, host_cache, None, name, false).await?;
        let keys = wiring::keys(global, Absent::Refuse)?;
        let open = wiring::image(global, &supply, &keys, name, None).await?;
        if host_cache.is_none() && !open.has_disk() {
            return Err(anyhow!(
                "nothing on this host would keep {name}: there is no host cache and no disk tier"
            ))
            .hint("start frazil cached, or give the disk tier room: --disk-quota");
        }
        let started = Instant::now();
        open.image.complete_table().await?;
        let bar = Share::on_stderr(global.quiet, open.image.sealed_bytes());
        let outcome = complete(&open.image, args.rate, &bar).await;
        bar.clear();
        open.settle().await;
        let counts = outcome?;
        report(name, &open.image.counters(), counts, started.elapsed(), args, global)
    })
}

/// Fetches all chunks, at a rate if one is said.
async fn complete(image: &Image, rate: Option<Size>, bar: &Share) -> Result<RunCounts> {
    let started = Instant::now();
    let (mut total, mut failures) = (RunCounts::default(), Failures::default());
    for part in parts(image, rate) {
        let run = image.prefetch(part, Source::Hydrate);
        loop {
            let ended = tokio::time::timeout(TICK, run.finished()).await.is_ok();
            let now = sum(total, run.counts());
            let here = image.counters().sealed_bytes;
            bar.reached(here);
            if failures.are_too_many(now) {
                return Err(anyhow!(
                    "{} chunks could not be had; {} of the image are here",
                    now.failed_chunks,
                    bytes(here)
                ))
                .hint("run it again once the store answers: what is here is not fetched twice");
            }
            if ended {
                total = now;
                break;
            }
        }
        if let Some(rate) = rate {
            let due = Duration::from_secs_f64(image.counters().sealed_bytes as f64 / rate.0.max(1) as f64);
            tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
        }
    }
    Ok(total)
}

fn sum(a: RunCounts, b: RunCounts) -> RunCounts {
    RunCounts {
        fetched_chunks: a.fetched_chunks + b.fetched_chunks,
        fetched_bytes: a.fetched_bytes + b.fetched_bytes,
        skipped_chunks: a.skipped_chunks + b.skipped_chunks,
        failed_chunks: a.failed_chunks + b.failed_chunks,
    }
}

/// The chunks of the image: all at once, or as many as the rate allows in a quarter of a second.
fn parts(image: &Image, rate: Option<Size>) -> Vec<Vec<ChunkIndex>> {
    let Some(rate) = rate else { return vec![image.chunk_indexes().collect()] };
    let (mut parts, mut part_bytes) = (Vec::<Vec<_>>::new(), u64::MAX);
    for index in image.chunk_indexes() {
        let len = image.place_of(index).map_or(0, |place| u64::from(place.sealed_len));
        part_bytes = part_bytes.saturating_add(len);
        match parts.last_mut() {
            Some(part) if part_bytes <= rate.0 / 4 => part.push(index),
            _ => {
                parts.push(vec![index]);
                part_bytes = len;
            }
        }
    }
    parts
}

/// The chunks that could not be fetched since the last one that could.
#[derive(Default)]
struct Failures {
    fetched: u64,
    failed_before: u64,
}

impl Failures {
    fn are_too_many(&mut self, now: RunCounts) -> bool {
        if now.fetched_chunks > self.fetched {
            (self.fetched, self.failed_before) = (now.fetched_chunks, now.failed_chunks);
        }
        now.failed_chunks.saturating_sub(self.failed_before) >= FAILURES_MAX
    }
}

fn report(
    name: &str,
    counters: &Counters,
    counts: RunCounts,
    took: Duration,
    args: &Args,
    global: &Global,
) -> Result<Exit> {
    let failed_chunks = counts.failed_chunks;
    // Those that were on their way for another reason are here too.
    let (chunks, here) = (counters.chunks_total.saturating_sub(failed_chunks), counters.sealed_bytes);
    if args.json {
        output::json(&serde_json::json!({
            "image": name,
            "chunks": chunks,
            "bytes": here,
            "failed_chunks": failed_chunks,
            "seconds": took.as_secs_f64(),
        }))?;
    } else if global.quiet == 0 {
        note(format!("{name} is here: {chunks} chunks, {}, after {}", bytes(here), duration(took)));
    }
    if failed_chunks > 0 {
        return Err(anyhow!("{failed_chunks} chunks could not be had"))
            .hint("run it again: what is here is not fetched twice");
    }
    Ok(Exit::SUCCESS)
}
