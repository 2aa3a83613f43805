//! The cold start: from knowing an image's name to its workload's line of output, over one link, everybody in one
//! interleaved run.
//!
//! Before every start all caches of this machine are dropped, the contender's own caches are empty (but for those
//! that its name says are warm), and the servers behind the link have what they serve in memory. The programs
//! themselves are warm for everybody, as they are on a host that started something before.

pub(crate) mod catalog;
mod cell;
pub(crate) mod containerd;
mod contender;
mod erofs;
mod floor;
pub(crate) mod frazil;
pub(crate) mod launch;
pub(crate) mod nydus;
mod places;
mod plot;
pub(crate) mod process;
pub(crate) mod scene;
pub(crate) mod servers;
mod tables;
mod trace;
mod unpacked;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;

use crate::kept::Kept;
use crate::link::LinkSpec;
use cell::Cell;
use contender::Contender;
pub(crate) use places::{Places, layout};
use scene::Scene;
use servers::Servers;

/// What the benchmark needs to know.
#[derive(Args)]
pub(crate) struct Setup {
    /// Which images: hello, python, pandas, node, java, torch, reader
    #[arg(long, value_delimiter = ',', default_value = "python,pandas,node,java")]
    images: Vec<String>,
    /// Which contenders, by their words [default: all]
    #[arg(long, value_delimiter = ',')]
    contenders: Vec<String>,
    /// Round trip and bandwidth
    #[arg(long, default_value = "5ms/1Gbit")]
    link: LinkSpec,
    /// How often each contender starts each image
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// No start begins later than this many minutes after the first; the same command goes on where it ended
    #[arg(long, default_value_t = 15.0)]
    minutes: f64,
    /// The most seconds that one start may take
    #[arg(long, default_value_t = 120)]
    limit_s: u64,
    /// Where results go [default: target/bench/cold-start/LINK]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    places: Places,
}

/// Runs what has not been run yet, and reports on all that has.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    let (work, tools) = (setup.places.work()?, setup.places.tools()?);
    let cells = Kept::open(setup.out.as_deref(), "cold-start", setup.link, &tools.build)?;
    let servers = Servers::start(&work, setup.link)?;
    let contenders = chosen(&setup.contenders)?;
    let mut skipped = Vec::new();
    let started = Instant::now();
    for name in &setup.images {
        let workload = catalog::workload(name)?;
        let scene = setup
            .places
            .layout(workload, &work)
            .and_then(|layout| Scene::of(workload, layout, &servers, &tools, &work));
        match scene {
            Ok(scene) => start_all(setup, &scene, &contenders, &cells, started, &mut skipped)?,
            Err(error) => skipped.push(format!("{name}: {error:#}")),
        }
    }
    report(setup, &cells, &skipped)
}

/// Every contender once, then every contender again, so that whatever else the machine does meets all of them.
fn start_all(
    setup: &Setup,
    scene: &Scene<'_>,
    contenders: &[Contender],
    cells: &Kept,
    started: Instant,
    skipped: &mut Vec<String>,
) -> anyhow::Result<()> {
    let name = scene.workload.name;
    let mut contenders = contenders.to_vec();
    for repeat in 0..setup.repeats {
        contenders.retain(|&contender| {
            let cell = Cell::name(name, contender, repeat);
            if cells.has(&cell) {
                return true;
            }
            if started.elapsed().as_secs_f64() > setup.minutes * 60.0 {
                skipped.push(format!("{name}, {}, run {repeat}: the time is over", contender.title()));
                return true;
            }
            let begun = Instant::now();
            match contender.start(scene, Duration::from_secs(setup.limit_s)) {
                Ok(start) => {
                    eprintln!(
                        "{name:8} {repeat} {:16} line {:.3} s, {:.1} MB, {} requests ({:.1} s in all)",
                        contender.word(),
                        start.line.as_secs_f64(),
                        start.traffic.down_bytes as f64 / 1e6,
                        start.traffic.exchanges,
                        begun.elapsed().as_secs_f64()
                    );
                    if let Err(error) = cells.keep(&cell, &Cell::new(name, contender, repeat, &start)) {
                        eprintln!("cannot keep it: {error:#}");
                    }
                    true
                }
                Err(error) => {
                    eprintln!("{name:8} {repeat} {:16} left out: {error:#}", contender.word());
                    skipped.push(format!("{name}, {}: {error:#}", contender.title()));
                    false
                }
            }
        });
    }
    Ok(())
}

fn chosen(words: &[String]) -> anyhow::Result<Vec<Contender>> {
    if words.is_empty() {
        return Ok(Contender::ALL.to_vec());
    }
    words
        .iter()
        .map(|word| {
            let known = || Contender::ALL.map(Contender::word).join(", ");
            Contender::ALL
                .into_iter()
                .find(|contender| contender.word() == word)
                .with_context(|| format!("no contender is called {word}; there are {}", known()))
        })
        .collect()
}

fn report(setup: &Setup, cells: &Kept, skipped: &[String]) -> anyhow::Result<()> {
    let out = cells.out();
    let all: Vec<Cell> = cells.all()?;
    let tables = tables::markdown(&all, setup.link, skipped);
    println!("{tables}");
    std::fs::write(out.join("tables.md"), &tables)?;
    std::fs::write(out.join("cells.json"), serde_json::to_vec_pretty(&all)?)?;
    std::fs::write(out.join("plot.svg"), plot::svg(&all, setup.link))?;
    println!("cells.json, tables.md and plot.svg are in {}", out.display());
    Ok(())
}
