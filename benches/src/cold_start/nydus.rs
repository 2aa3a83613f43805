//! Nydus 2.2.0 through FUSE: its bootstrap fetched, then `nydusd` with a registry behind it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::contender::Start;
use super::process::{Daemon, Speaker, Watch, tethered};
use super::scene::Scene;
use super::trace::files_opened;
use crate::measure::measure;
use crate::unmount::Unmount;

/// What nydusd fetches before it is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefetch {
    None,
    All,
    /// The files that a traced run opened.
    Traced,
}

pub(super) fn start(scene: &Scene<'_>, prefetch: Prefetch, limit: Duration) -> anyhow::Result<Start> {
    let traced = match prefetch {
        Prefetch::Traced => Some(files_opened(scene)?),
        Prefetch::None | Prefetch::All => None,
    };
    let bootstrap = scene.nydus(traced.as_deref())?;
    let blobs = scene.web.with_file_name("v2").join(scene.workload.tag).join("blobs");
    let cell = scene.cell()?;
    scene.cold(&[blobs, bootstrap.clone()])?;
    let before = scene.servers.traffic();
    let started = Instant::now();
    let nydusd = Nydusd::start(scene, &bootstrap, prefetch, cell.path())?;
    let mounted = started.elapsed();
    let watch = Watch::over(vec![nydusd.daemon.id()]);
    let speaker = Speaker::start(&mut scene.launch(&nydusd.mount.0, cell.path())?)?;
    let line = speaker.hear(scene.workload.line, limit)? - started;
    Ok(Start { mounted, line, traffic: scene.servers.traffic() - before, agent: watch.read() })
}

/// A mount and its daemon, which ends after it.
pub(crate) struct Nydusd {
    mount: Unmount,
    daemon: Daemon,
}

impl Nydusd {
    /// Fetches the bootstrap and mounts; `cell` is this mount's own directory.
    pub(crate) fn start(
        scene: &Scene<'_>,
        bootstrap: &Path,
        prefetch: Prefetch,
        cell: &Path,
    ) -> anyhow::Result<Self> {
        let name = bootstrap.file_name().context("a bootstrap has a name")?.display();
        let copy = cell.join("bootstrap");
        let url = format!("http://{}/{}/nydus/{name}", scene.servers.web, scene.workload.tag);
        measure(
            Command::new("curl")
                .args(["--fail", "--silent", "--noproxy", "*", "--output"])
                .arg(&copy)
                .arg(url),
        )?;
        let (cache, dir) = (cell.join("cache"), cell.join("mnt"));
        std::fs::create_dir(&cache)?;
        std::fs::create_dir(&dir)?;
        let config = serde_json::json!({
            "device": {
                "backend": { "type": "registry", "config": {
                    "scheme": "http", "host": scene.servers.web.to_string(), "repo": scene.workload.tag,
                } },
                "cache": { "type": "blobcache", "config": { "work_dir": cache } },
            },
            "mode": "direct", "digest_validate": false, "iostats_files": false, "enable_xattr": true,
            // As its snapshotter's example configuration has it.
            "fs_prefetch": {
                "enable": prefetch != Prefetch::None, "prefetch_all": prefetch == Prefetch::All,
                "threads_count": 8, "merging_size": 1 << 20,
            },
        });
        let file = cell.join("nydusd.json");
        std::fs::write(&file, config.to_string())?;
        let before = rustix::fs::stat(&dir)?.st_dev;
        let mut command = tethered(scene.tools.peers.join("nydusd"));
        command.args(["fuse", "--rlimit-nofile", "0", "--log-level", "error", "--config"]).arg(&file);
        command.arg("--bootstrap").arg(&copy).arg("--mountpoint").arg(&dir).stdin(Stdio::null());
        let mut daemon = Daemon::start(&mut command, &cell.join("nydusd.log"))?;
        daemon.until(|| rustix::fs::stat(&dir).is_ok_and(|stat| stat.st_dev != before))?;
        Ok(Self { mount: Unmount(dir), daemon })
    }

    pub(crate) fn mount_point(&self) -> &Path {
        &self.mount.0
    }
}
