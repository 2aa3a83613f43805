//! One start, from the image's name to the workload's line, and to the end of the command.

use std::time::{Duration, Instant};

use crate::cold_start::frazil::{add_workload, published};
use crate::cold_start::process::Speaker;
use crate::cold_start::scene::{NAME, Scene};
use crate::link::Traffic;

use super::way::Way;

/// What one start took.
pub(super) struct Start {
    /// Until the awaited line.
    pub(super) line: Duration,
    /// Until `frazil run` had ended, what it learnt written down or given up.
    pub(super) end: Duration,
    pub(super) traffic: Traffic,
}

/// Starts the image once, with nothing on this side.
pub(super) fn start(scene: &Scene<'_>, way: Way, limit: Duration) -> anyhow::Result<Start> {
    let (store, keys) = scene.store()?;
    let cell = scene.cell()?;
    let configuration = cell.path().join("frazil.toml");
    std::fs::write(&configuration, way.configuration())?;
    scene.cold(&[store])?;
    let mut command = published(scene, &keys);
    command.arg("--config").arg(configuration).args(["run", "--cache", "none", "--no-summary"]);
    add_workload(&mut command, scene, NAME, cell.path(), way.options())?;
    let before = scene.servers.traffic();
    let started = Instant::now();
    let speaker = Speaker::start(&mut command)?;
    let line = speaker.hear(scene.workload.line, limit)? - started;
    Ok(Start { line, end: started.elapsed(), traffic: scene.servers.traffic() - before })
}
