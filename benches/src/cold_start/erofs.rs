//! An EROFS image downloaded whole, then mounted: the simplest thing that could work.

use std::process::Command;
use std::time::{Duration, Instant};

use super::contender::Start;
use super::process::{Account, Speaker};
use super::scene::Scene;
use crate::measure::measure;
use crate::unmount::Unmount;

pub(super) fn start(scene: &Scene<'_>, limit: Duration) -> anyhow::Result<Start> {
    let image = scene.erofs()?;
    let cell = scene.cell()?;
    let (copy, dir) = (cell.path().join("image.erofs"), cell.path().join("mnt"));
    std::fs::create_dir(&dir)?;
    let url = format!("http://{}/{}/image.erofs", scene.servers.web, scene.workload.tag);
    scene.cold(&[image])?;
    let before = scene.servers.traffic();
    let started = Instant::now();
    let cost = measure(
        Command::new("curl").args(["--fail", "--silent", "--noproxy", "*", "--output"]).arg(&copy).arg(url),
    )?;
    measure(Command::new("mount").args(["-t", "erofs", "-o", "ro,loop"]).arg(&copy).arg(&dir))?;
    let _mounted = Unmount(dir.clone());
    let mounted = started.elapsed();
    let line =
        Speaker::start(&mut scene.launch(&dir, cell.path())?)?.hear(scene.workload.line, limit)? - started;
    let traffic = scene.servers.traffic() - before;
    let agent = Account { cpu_s: cost.cpu.as_secs_f64(), memory_bytes: cost.peak_memory_bytes };
    Ok(Start { mounted, line, traffic, agent })
}
