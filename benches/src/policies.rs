//! Which chunks should a tier keep? Eviction policies, replayed over real cold starts and nightly scans.
//!
//! The trace is the Azure Functions 2019 sample (Shahrad et al., USENIX ATC 2020): an invocation after ten idle
//! minutes is a cold start, and a cold start reads its image's first-touched chunks through the cache. Every
//! night cron jobs read many images once: the scan that a tier must survive. Same seed, same table.

mod contenders;
mod list;
mod workload;

use std::path::PathBuf;

use clap::Args;

use crate::report;
use contenders::Cache;
use workload::{Request, Workload};

/// The budgets, as shares of all bytes that are ever read.
const BUDGETS_PERCENT: [u64; 6] = [2, 5, 10, 20, 35, 50];

/// What the replay needs to know.
#[derive(Args)]
pub(crate) struct Setup {
    /// The invocations: HashOwner, HashApp, HashFunction, Trigger, then one count a minute
    #[arg(long)]
    trace: PathBuf,
    /// How many days the trace is repeated
    #[arg(long, default_value_t = 4)]
    days: u32,
    /// How many images the cron jobs of a night read
    #[arg(long, default_value_t = 400)]
    scanned_images: u32,
    /// The seed of sizes and shares
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What a policy did with the requests of the days after the first.
#[derive(Default)]
struct Score {
    starts: Ratio,
    all: Ratio,
}

#[derive(Default)]
struct Ratio {
    hits: u64,
    hit_bytes: u64,
    requests: u64,
    bytes: u64,
}

impl Ratio {
    fn add(&mut self, bytes: u64, hit: u64) {
        self.requests += 1;
        self.bytes += bytes;
        self.hits += hit;
        self.hit_bytes += bytes * hit;
    }

    fn cell(&self) -> String {
        let ratio = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        format!("{:.3} / {:.3}", ratio(self.hits, self.requests), ratio(self.hit_bytes, self.bytes))
    }
}

/// Replays the trace through every policy at every budget, and prints the hit ratios.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    let invocations = std::fs::read_to_string(&setup.trace)?;
    let workload = Workload::new(&invocations, setup.days, setup.scanned_images, setup.seed)?;
    println!("{}", workload.summary());
    let columns = columns(&workload);
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let scores = scores(&workload);
    for (title, cell) in TABLES {
        let cells = |scores: &Vec<Score>| scores.iter().map(cell).collect();
        let rows: Vec<_> = scores.iter().map(|(name, scores)| (name.clone(), cells(scores))).collect();
        report::table(title, &columns, &rows);
    }
    Ok(())
}

/// A table, and what stands in its cells.
type Table = (&'static str, fn(&Score) -> String);

const TABLES: [Table; 2] = [
    ("Hit ratio of cold starts, object / byte", |score| score.starts.cell()),
    ("Hit ratio of everything, nightly scans included, object / byte", |score| score.all.cell()),
];

fn columns(workload: &Workload) -> Vec<String> {
    BUDGETS_PERCENT
        .iter()
        .map(|percent| {
            format!("{percent} % ({:.1} GiB)", (workload.bytes * percent / 100) as f64 / (1u64 << 30) as f64)
        })
        .collect()
}

/// What each policy makes of each budget.
fn scores(workload: &Workload) -> Vec<(String, Vec<Score>)> {
    let mut scores: Vec<(String, Vec<Score>)> = Vec::new();
    for percent in BUDGETS_PERCENT {
        let contenders = contenders::all(workload.bytes * percent / 100, workload.bytes / workload.chunks);
        for (index, (name, mut cache)) in contenders.into_iter().enumerate() {
            if scores.len() <= index {
                scores.push((name, Vec::new()));
            }
            if let Some((_, of_policy)) = scores.get_mut(index) {
                of_policy.push(replay(workload, cache.as_mut()));
            }
        }
    }
    scores
}

fn replay(workload: &Workload, cache: &mut dyn Cache) -> Score {
    let mut score = Score::default();
    for Request { chunk, bytes, day, scan } in workload.requests() {
        let hit = u64::from(cache.access(chunk, bytes));
        // The first day fills the cache.
        if day > 0 {
            score.all.add(bytes, hit);
            if !scan {
                score.starts.add(bytes, hit);
            }
        }
    }
    score
}
