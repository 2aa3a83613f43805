//! Frazil, from a store that is published by the same web server that serves the others.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::contender::Start;
use super::process::{Daemon, Speaker, Watch, tethered};
use super::scene::{NAME, Scene};
use crate::fleet::memcached::Memcached;

/// Nodes of the remote tier: four shares and one of parity.
const NODES: usize = 5;
/// How long the remote tier may take to store what it was given, after the run that gave it.
const SETTLING: Duration = Duration::from_millis(700);

/// No profile, nothing kept anywhere.
pub(super) fn first(scene: &Scene<'_>, limit: Duration) -> anyhow::Result<Start> {
    let extra: &[&str] = if knows(scene, "--no-profile") { &["--no-profile"] } else { &[] };
    without_cache(scene, extra, limit)
}

/// Everything in parallel, at once.
pub(super) fn eager(scene: &Scene<'_>, limit: Duration) -> anyhow::Result<Start> {
    ensure!(knows(scene, "--eager"), "this frazil has no `run --eager`");
    let extra: &[&str] =
        if knows(scene, "--no-profile") { &["--no-profile", "--eager"] } else { &["--eager"] };
    without_cache(scene, extra, limit)
}

/// With the profile that an earlier start on another host left beside the manifest.
pub(super) fn with_profile(scene: &Scene<'_>, limit: Duration) -> anyhow::Result<Start> {
    record(scene, limit)?;
    without_cache(scene, &[], limit)
}

/// Leaves a profile beside the manifest, as a start on another host would.
pub(crate) fn record(scene: &Scene<'_>, limit: Duration) -> anyhow::Result<()> {
    ensure!(knows(scene, "--no-profile"), "this frazil keeps no profiles");
    let (store, keys) = scene.store()?;
    scene.once(&scene.here.join(format!("profile-{}-{}", scene.workload.name, scene.tools.build)), || {
        let cell = scene.cell()?;
        let mut command = Command::new(&scene.tools.frazil);
        command.arg("--store").arg(&store).arg("--keys").arg(&keys);
        run(scene, command, Path::new("none"), cell.path(), &[], limit).map(|_| ())
    })
}

fn without_cache(scene: &Scene<'_>, extra: &[&str], limit: Duration) -> anyhow::Result<Start> {
    let (store, keys) = scene.store()?;
    let cell = scene.cell()?;
    scene.cold(&[store])?;
    run(scene, published(scene, &keys), Path::new("none"), cell.path(), extra, limit)
}

/// With a host cache that was restarted, so that it has what its disk has.
pub(super) fn with_disk(scene: &Scene<'_>, limit: Duration) -> anyhow::Result<Start> {
    let (store, keys) = scene.store()?;
    let [cell, warming] = [scene.cell()?, scene.cell()?];
    let disk = cell.path().join("disk");
    let host = HostCache::start(scene, warming.path(), &disk, &[])?;
    run(scene, published(scene, &keys), &host.socket, warming.path(), &[], limit)?;
    drop(host);
    scene.cold(&[store])?;
    let host = HostCache::start(scene, cell.path(), &disk, &[])?;
    measured(scene, &keys, &host, cell.path(), limit)
}

/// With a host cache that an earlier start left warm, and that keeps nothing on disk.
pub(super) fn with_memory(scene: &Scene<'_>, limit: Duration) -> anyhow::Result<Start> {
    let (store, keys) = scene.store()?;
    let [cell, warming] = [scene.cell()?, scene.cell()?];
    let host = HostCache::start(scene, cell.path(), &cell.path().join("disk"), &["--disk-quota", "0"])?;
    run(scene, published(scene, &keys), &host.socket, warming.path(), &[], limit)?;
    scene.cold(&[store])?;
    measured(scene, &keys, &host, cell.path(), limit)
}

/// With a host cache that has nothing, and a fleet that an earlier start on another host left warm.
pub(super) fn with_remote(scene: &Scene<'_>, limit: Duration) -> anyhow::Result<Start> {
    let (store, keys) = scene.store()?;
    let [cell, warming] = [scene.cell()?, scene.cell()?];
    let fleet = (0..NODES).map(|_| Memcached::start()).collect::<anyhow::Result<Vec<_>>>()?;
    let nodes: Vec<_> = fleet.iter().map(|node| node.address.to_string()).collect();
    let remote = ["--remote", &nodes.join(",")];
    let host = HostCache::start(scene, warming.path(), &warming.path().join("disk"), &remote)?;
    run(scene, published(scene, &keys), &host.socket, warming.path(), &[], limit)?;
    std::thread::sleep(SETTLING);
    drop(host);
    scene.cold(&[store])?;
    let host = HostCache::start(scene, cell.path(), &cell.path().join("disk"), &remote)?;
    measured(scene, &keys, &host, cell.path(), limit)
}

fn measured(
    scene: &Scene<'_>,
    keys: &Path,
    host: &HostCache,
    cell: &Path,
    limit: Duration,
) -> anyhow::Result<Start> {
    run_watching(scene, published(scene, keys), &host.socket, cell, &[], limit, Some(host.id()))
}

fn run(
    scene: &Scene<'_>,
    command: Command,
    cache: &Path,
    cell: &Path,
    extra: &[&str],
    limit: Duration,
) -> anyhow::Result<Start> {
    run_watching(scene, command, cache, cell, extra, limit, None)
}

/// One `frazil run` of the workload, with the account of itself and of a host cache.
fn run_watching(
    scene: &Scene<'_>,
    mut command: Command,
    cache: &Path,
    cell: &Path,
    extra: &[&str],
    limit: Duration,
    host: Option<u32>,
) -> anyhow::Result<Start> {
    let summary = cell.join("summary.json");
    let _ = std::fs::remove_file(&summary);
    command.arg("run").arg("--cache").arg(cache).args(["--no-summary", "--summary-json"]).arg(&summary);
    add_workload(&mut command, scene, NAME, cell, extra)?;
    let before = scene.servers.traffic();
    let started = Instant::now();
    let speaker = Speaker::start(&mut command)?;
    let watch = Watch::over(host.into_iter().chain([speaker.id()]).collect());
    let line = speaker.hear(scene.workload.line, limit)? - started;
    let (traffic, agent) = (scene.servers.traffic() - before, watch.read());
    let summary: Value = serde_json::from_slice(&std::fs::read(&summary).context("frazil left no summary")?)?;
    let mounted_ms = summary["mounted_ms"].as_f64().context("the summary has no time of the mount")?;
    Ok(Start { mounted: Duration::from_secs_f64(mounted_ms / 1e3), line, traffic, agent })
}

/// Completes a `frazil run`: the image, what runs in it, and a home of its own.
pub(crate) fn add_workload(
    command: &mut Command,
    scene: &Scene<'_>,
    name: &str,
    cell: &Path,
    extra: &[&str],
) -> anyhow::Result<()> {
    at_home(command, cell);
    // The image's own entrypoint is replaced, as the other contenders do.
    let (program, arguments) = scene.workload.argv.split_first().context("there is nothing to run")?;
    command.args(extra).args(["--entrypoint", program, name, "--"]).args(arguments);
    Ok(())
}

/// Frazil over the published store.
pub(crate) fn published(scene: &Scene<'_>, keys: &Path) -> Command {
    let mut command = Command::new(&scene.tools.frazil);
    command.args(["--store", &store_url(scene), "--allow-http", "--keys"]).arg(keys);
    command
}

fn store_url(scene: &Scene<'_>) -> String {
    format!("http://{}/{}/store-{}", scene.servers.web, scene.workload.tag, scene.tools.build)
}

/// Gives a process directories of its own, so that it finds nothing of an earlier run.
fn at_home(command: &mut Command, cell: &Path) {
    for (variable, name) in [
        ("XDG_CACHE_HOME", "xdg-cache"),
        ("XDG_DATA_HOME", "xdg-data"),
        ("XDG_STATE_HOME", "xdg-state"),
        ("XDG_CONFIG_HOME", "xdg-config"),
        ("HOME", "home"),
    ] {
        command.env(variable, cell.join(name));
    }
}

/// Whether `frazil run` has an option.
fn knows(scene: &Scene<'_>, option: &str) -> bool {
    static HELP: OnceLock<String> = OnceLock::new();
    let help = HELP.get_or_init(|| {
        let output = Command::new(&scene.tools.frazil).args(["run", "--help"]).output();
        output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    help.split_whitespace().any(|word| word == option)
}

/// A `frazil cached`.
pub(crate) struct HostCache {
    daemon: Daemon,
    pub(crate) socket: PathBuf,
}

impl HostCache {
    pub(crate) fn start(scene: &Scene<'_>, cell: &Path, disk: &Path, tiers: &[&str]) -> anyhow::Result<Self> {
        let socket = cell.join("cached.sock");
        let mut command = tethered(&scene.tools.frazil);
        command.args(["--store", &store_url(scene), "--allow-http", "cached", "--socket"]).arg(&socket);
        command.arg("--disk-dir").arg(disk).args(tiers);
        at_home(&mut command, cell);
        let mut daemon = Daemon::start(&mut command, &cell.join("cached.log"))?;
        let ready = socket.clone();
        daemon.until(|| std::os::unix::net::UnixStream::connect(&ready).is_ok())?;
        // A host cache runs long before an image is started: its store is open, its disk is known.
        std::thread::sleep(SETTLING);
        Ok(Self { daemon, socket })
    }

    pub(crate) fn id(&self) -> u32 {
        self.daemon.id()
    }
}
