//! A plain pull: containerd with an empty root of its own, `ctr image pull`, `ctr run`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::contender::Start;
use super::process::{Daemon, Speaker, Watch, tethered};
use super::scene::Scene;
use crate::measure::measure;

/// A containerd that has nothing.
pub(crate) struct Containerd {
    daemon: Daemon,
    socket: PathBuf,
}

impl Containerd {
    /// Starts one with its root below `cell`.
    pub(crate) fn start(cell: &Path) -> anyhow::Result<Self> {
        let socket = cell.join("containerd.sock");
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {socket:?}\n[ttrpc]\naddress = {:?}\n",
            cell.join("root"),
            cell.join("state"),
            cell.join("ttrpc.sock"),
        );
        let file = cell.join("containerd.toml");
        std::fs::write(&file, config)?;
        let mut command = tethered("containerd");
        command.arg("--config").arg(file).args(["--log-level", "error"]);
        let mut daemon = Daemon::start(&mut command, &cell.join("containerd.log"))
            .context("containerd runs: install the package containerd")?;
        let ready = socket.clone();
        daemon.until(|| std::os::unix::net::UnixStream::connect(&ready).is_ok())?;
        Ok(Self { daemon, socket })
    }

    pub(crate) fn id(&self) -> u32 {
        self.daemon.id()
    }

    pub(crate) fn ctr(&self) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(&self.socket);
        command
    }

    /// Pulls and unpacks.
    pub(crate) fn pull(&self, reference: &str) -> anyhow::Result<()> {
        measure(self.ctr().args(["image", "pull", "--plain-http", reference]))?;
        Ok(())
    }

    /// What runs a container of the image.
    pub(crate) fn run(&self, reference: &str, id: &str, argv: &[&str]) -> Command {
        let mut command = self.ctr();
        command.args(["run", "--rm", "--net-host", reference, id]).args(argv);
        command
    }
}

pub(super) fn start(scene: &Scene<'_>, limit: Duration) -> anyhow::Result<Start> {
    scene.push()?;
    let reference = scene.reference(scene.servers.registry);
    let cell = scene.cell()?;
    let containerd = Containerd::start(cell.path())?;
    scene.cold(&scene.pushed_layers())?;
    let before = scene.servers.traffic();
    let watch = Watch::over(vec![containerd.id()]);
    let started = Instant::now();
    containerd.pull(&reference)?;
    let mounted = started.elapsed();
    let speaker = Speaker::start(&mut containerd.run(&reference, "bench", scene.workload.argv))?;
    let line = speaker.hear(scene.workload.line, limit)? - started;
    Ok(Start { mounted, line, traffic: scene.servers.traffic() - before, agent: watch.read() })
}
