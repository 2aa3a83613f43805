//! Starts from an origin in trouble: what prefetching costs where it cannot help.
//!
//! One link, one web server behind it, and what may be wrong with that: slow, narrow, failing, stalling, or without the
//! objects that only prefetching asks for. Under each trouble the same image is started without prefetching, with
//! read-ahead, and with a profile, in turns. The promise is that the second and the third take no more than 5 % longer
//! than the first, whatever is wrong.

mod cell;
mod start;
mod table;
mod way;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use crate::cold_start::catalog::workload;
use crate::cold_start::scene::Scene;
use crate::cold_start::servers::Servers;
use crate::cold_start::{Places, frazil};
use crate::kept::Kept;
use crate::link::{LinkSpec, Trouble};
use cell::Cell;
use way::Way;

/// What the benchmark needs to know.
#[derive(Args)]
pub(crate) struct Setup {
    /// Which images: names of the cold-start benchmark
    #[arg(long, value_delimiter = ',', default_value = "python,pandas")]
    images: Vec<String>,
    /// What is wrong with the origin, one after the other
    #[arg(long, value_delimiter = ',', default_values = TROUBLES)]
    troubles: Vec<Origin>,
    /// Round trip and bandwidth
    #[arg(long, default_value = "5ms/1Gbit")]
    link: LinkSpec,
    /// How often each image is started in each way under each trouble
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// No start begins later than this many minutes after the first; the same command goes on where it ended
    #[arg(long, default_value_t = 6.0)]
    minutes: f64,
    /// The most seconds that one start may take
    #[arg(long, default_value_t = 300)]
    limit_s: u64,
    /// Where results go [default: target/bench/degraded/LINK]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
}

/// Each is what an origin does on a bad day; `none` is a good one.
const TROUBLES: [&str; 8] = [
    "none",
    "late=100ms",
    "narrow=8Mbit",
    "fails=1/5",
    "stalls=1/50",
    "refuses=/bundles/",
    "swallows=/bundles/",
    "halts=/bundles/",
];

/// An origin that is in trouble, or in none.
#[derive(Clone)]
pub(crate) struct Origin(Option<Trouble>);

impl std::str::FromStr for Origin {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        Ok(Self(if text == "none" { None } else { Some(text.parse()?) }))
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            None => f.write_str("none"),
            Some(trouble) => trouble.fmt(f),
        }
    }
}

/// Runs what has not been run yet, and reports on all that has.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    let (work, tools) = (setup.places.work()?, setup.places.tools()?);
    let kept = Kept::open(setup.out.as_deref(), "degraded", setup.link, &tools.build)?;
    let servers = Servers::start(&work, setup.link)?;
    let mut scenes = Vec::new();
    for name in &setup.images {
        let workload = workload(name)?;
        let scene = Scene::of(workload, setup.places.layout(workload, &work)?, &servers, &tools, &work)?;
        frazil::record(&scene, setup.limit())?;
        scenes.push(scene);
    }
    let (started, mut skipped) = (Instant::now(), Vec::new());
    for repeat in 0..setup.repeats {
        for scene in &scenes {
            for origin in &setup.troubles {
                setup.start_all_ways(scene, origin, repeat, &kept, started, &mut skipped);
            }
        }
    }
    let cells: Vec<Cell> = kept.all()?;
    let tables = table::markdown(&cells, &setup.images, &setup.troubles, setup.link, &skipped);
    println!("{tables}");
    std::fs::write(kept.out().join("tables.md"), &tables)?;
    println!("tables.md is in {}", kept.out().display());
    Ok(())
}

impl Setup {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.limit_s)
    }

    /// Once in each way, one after the other, so that whatever else the machine does meets all of them.
    fn start_all_ways(
        &self,
        scene: &Scene<'_>,
        origin: &Origin,
        repeat: usize,
        kept: &Kept,
        started: Instant,
        skipped: &mut Vec<String>,
    ) {
        for way in Way::ALL.into_iter().filter(|way| way.meets(origin.0.as_ref())) {
            let name = Cell::name(scene.workload.name, origin, way, repeat);
            if kept.has(&name) {
                continue;
            }
            if started.elapsed().as_secs_f64() > self.minutes * 60.0 {
                skipped.push(format!("{name}: the time is over"));
                continue;
            }
            // The same chance for all ways, and another one for each repeat.
            scene.servers.suffer(origin.0.clone(), repeat as u64);
            let start = start::start(scene, way, self.limit());
            scene.servers.suffer(None, 0);
            let kept = start.and_then(|start| {
                eprintln!(
                    "{name:42} line {:.3} s, end {:.3} s, {:.1} MB, {} requests",
                    start.line.as_secs_f64(),
                    start.end.as_secs_f64(),
                    start.traffic.down_bytes as f64 / 1e6,
                    start.traffic.exchanges,
                );
                kept.keep(&name, &Cell::new(scene.workload.name, origin, way, &start))
            });
            if let Err(error) = kept {
                eprintln!("{name}: left out: {error:#}");
                skipped.push(format!("{name}: {error:#}"));
            }
        }
    }
}
