//! Reading a mounted image through each face, beside a peer and the ceilings.
//!
//! The ceilings are the kernel's EROFS on a plain file that holds the same block image, and, for sequential
//! reads, a FUSE file system that answers every read with zeros.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::Context;

use crate::Setup;
use crate::cold_start::process::{Daemon, tethered};
use crate::measure::measure;
use crate::nydus;
use crate::oci::Layout;
use crate::report::{Series, table};
use crate::unmount::Unmount;
use crate::workload::{Paths, Rates, sequential};

const NAME: &str = "bench";
/// The size of the null file system's file.
const NULL_BYTES: u64 = 4 << 30;

/// Runs the benchmark and prints its tables.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    std::fs::create_dir_all(&setup.work_dir)?;
    let layout = Layout::open(&setup.image)?;
    let scene = Scene::prepare(setup, &layout)?;
    let mut rows: Vec<(Contender, Columns)> =
        Contender::ALL.into_iter().map(|contender| (contender, Columns::default())).collect();
    let mut paths = None;
    let mut null = Series::default();
    for _ in 0..setup.runs {
        for (contender, columns) in &mut rows {
            if let Err(error) = scene.once(*contender, &mut paths, columns) {
                eprintln!("{}: {error:#}", contender.name());
            }
        }
        null.push(null_sequential(&scene.dir)?);
    }
    let shape = paths.map_or_else(String::new, |paths| paths.describe());
    let mut rows: Vec<_> =
        rows.into_iter().map(|(who, columns)| (who.name().to_owned(), columns.cells())).collect();
    let mut ceiling = vec!["–".to_owned(); 8];
    ceiling[0] = null.cell();
    rows.push(("ceiling: null FUSE file system".to_owned(), ceiling));
    let columns = [
        "sequential cold MB/s",
        "warm MB/s",
        "random 4 KiB cold /s",
        "warm /s",
        "stat cold /s",
        "warm /s",
        "open+read+close cold /s",
        "warm /s",
    ];
    table(&format!("Reading {} ({shape})", layout.tag), &columns, &rows);
    Ok(())
}

#[derive(Clone, Copy)]
enum Contender {
    FrazilErofs,
    FrazilTree,
    Nydus,
    KernelErofs,
}

impl Contender {
    const ALL: [Self; 4] = [Self::FrazilErofs, Self::FrazilTree, Self::Nydus, Self::KernelErofs];

    fn name(self) -> &'static str {
        match self {
            Self::FrazilErofs => "frazil, erofs face",
            Self::FrazilTree => "frazil, tree face",
            Self::Nydus => "nydusd, FUSE",
            Self::KernelErofs => "ceiling: the kernel's EROFS on a plain file",
        }
    }
}

#[derive(Default)]
struct Columns([Series; 8]);

impl Columns {
    fn add(&mut self, rates: &Rates) {
        let values = [
            rates.sequential_cold,
            rates.sequential_warm,
            rates.random_cold,
            rates.random_warm,
            rates.stat_cold,
            rates.stat_warm,
            rates.open_cold,
            rates.open_warm,
        ];
        for (series, value) in self.0.iter_mut().zip(values) {
            series.push(value);
        }
    }

    fn cells(&self) -> Vec<String> {
        self.0.iter().map(Series::cell).collect()
    }
}

/// The image, made ready for every contender.
struct Scene<'a> {
    setup: &'a Setup,
    dir: tempfile::TempDir,
}

impl<'a> Scene<'a> {
    fn prepare(setup: &'a Setup, layout: &Layout) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir_in(&setup.work_dir)?;
        let scene = Self { setup, dir };
        let source = format!("oci:{}:{}", layout.dir.display(), layout.tag);
        measure(scene.frazil().args(["convert", &source, "--name", NAME]))?;
        measure(scene.frazil().args(["export", NAME]).arg(scene.path("image.erofs")))?;
        if let Err(error) = scene.prepare_nydus(layout) {
            eprintln!("no Nydus in this run: {error:#}");
        }
        Ok(scene)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn frazil(&self) -> Command {
        let mut command = Command::new(&self.setup.frazil);
        command.arg("--store").arg(self.path("store")).arg("--keys").arg(self.path("keys"));
        command
    }

    fn prepare_nydus(&self, layout: &Layout) -> anyhow::Result<()> {
        let nydus_image = self.setup.peers.join("nydus-image");
        std::fs::create_dir(self.path("nydus-cache"))?;
        nydus::convert(&nydus_image, layout, self.dir.path(), &self.path("nydus-bootstrap"))?;
        let config = serde_json::json!({
            "device": {
                "backend": { "type": "localfs", "config": { "dir": self.path("blobs") } },
                "cache": { "type": "blobcache", "config": { "work_dir": self.path("nydus-cache") } },
            },
            "mode": "direct", "digest_validate": false, "iostats_files": false, "enable_xattr": true,
            "fs_prefetch": { "enable": false },
        });
        Ok(std::fs::write(self.path("nydus.json"), config.to_string())?)
    }

    /// Mounts, measures, unmounts; the first to come decides which paths everybody reads.
    fn once(&self, who: Contender, paths: &mut Option<Paths>, columns: &mut Columns) -> anyhow::Result<()> {
        let mounted = self.mount(who)?;
        let paths = match paths {
            Some(paths) => paths,
            None => paths.insert(Paths::of(&mounted.mount.0)?),
        };
        paths.keep_those_in(&mounted.mount.0);
        columns.add(&paths.measure(&mounted.mount.0).context("while reading")?);
        Ok(())
    }

    fn mount(&self, who: Contender) -> anyhow::Result<Mounted> {
        let dir = self.path("mnt");
        std::fs::create_dir_all(&dir)?;
        let daemon = match who {
            Contender::FrazilErofs => self.mount_frazil(&dir, "erofs"),
            Contender::FrazilTree => self.mount_frazil(&dir, "tree"),
            Contender::KernelErofs => {
                let image = self.path("image.erofs");
                measure(Command::new("mount").args(["-t", "erofs", "-o", "ro"]).arg(image).arg(&dir))
                    .map(|_| None)
            }
            Contender::Nydus => self.start_nydusd(&dir).map(Some),
        }?;
        Ok(Mounted { mount: Unmount(dir), _daemon: daemon })
    }

    fn mount_frazil(&self, dir: &Path, face: &str) -> anyhow::Result<Option<Daemon>> {
        measure(self.frazil().args(["mount", NAME, "--via", face]).arg(dir)).map(|_| None)
    }

    fn start_nydusd(&self, dir: &Path) -> anyhow::Result<Daemon> {
        let before = rustix::fs::stat(dir)?.st_dev;
        let mut command = tethered(self.setup.peers.join("nydusd"));
        command
            .args(["fuse", "--rlimit-nofile", "0", "--log-level", "error", "--config"])
            .arg(self.path("nydus.json"))
            .arg("--bootstrap")
            .arg(self.path("nydus-bootstrap"))
            .arg("--mountpoint")
            .arg(dir);
        let mut daemon = Daemon::start(&mut command, &self.path("nydusd.log"))?;
        daemon.until(|| rustix::fs::stat(dir).is_ok_and(|stat| stat.st_dev != before))?;
        Ok(daemon)
    }
}

/// A mounted contender; unmounted, and then its daemon ended, when dropped.
struct Mounted {
    mount: Unmount,
    _daemon: Option<Daemon>,
}

/// MB/s of FUSE itself: zeros, as fast as they can be handed to the kernel.
fn null_sequential(dir: &tempfile::TempDir) -> anyhow::Result<f64> {
    let mount_point = dir.path().join("null");
    std::fs::create_dir_all(&mount_point)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter();
    let _null = frazil_mount::null::mount(&mount_point, NULL_BYTES)?;
    let started = Instant::now();
    sequential(&mount_point.join(frazil_mount::null::FILE_NAME))?;
    Ok(NULL_BYTES as f64 / 1e6 / started.elapsed().as_secs_f64())
}
