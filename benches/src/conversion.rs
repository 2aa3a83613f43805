//! Conversion side by side: Frazil, Nydus, mkfs.erofs, casync, and the ceiling.
//!
//! Frazil and Nydus read the same gzip layers and compress with zstd; mkfs.erofs and casync read the tree that
//! `umoci unpack` made of them, whose cost is not counted. One contender after the other, `runs` times over, each
//! into a fresh place, so that a slow minute of the machine hits all of them alike.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::Setup;
use crate::measure::{Cost, measure};
use crate::nydus;
use crate::oci::Layout;
use crate::report::{Series, table};

/// Runs the benchmark and prints its table.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    std::fs::create_dir_all(&setup.work_dir)?;
    let layout = Layout::open(&setup.image)?;
    let tar_mb = layout.tar_bytes()? as f64 / 1e6;
    let bench = Conversion { tree: unpack(&layout, &setup.work_dir)?, layout, setup };
    let mut rows: Vec<(Contender, Figures)> =
        Contender::ALL.into_iter().map(|contender| (contender, Figures::default())).collect();
    for _ in 0..setup.runs {
        for (contender, figures) in &mut rows {
            match bench.once(*contender) {
                Ok((cost, stored_bytes)) => figures.add(&cost, tar_mb, stored_bytes),
                Err(error) => eprintln!("{}: {error:#}", contender.name()),
            }
        }
    }
    let rows: Vec<_> =
        rows.into_iter().map(|(contender, figures)| (contender.name(), figures.cells())).collect();
    let title = format!("Conversion of {} ({tar_mb:.0} MB of tar)", bench.layout.tag);
    table(&title, &["MB of tar/s", "CPU s", "peak MB", "stored MB"], &rows);
    Ok(())
}

#[derive(Clone, Copy)]
enum Contender {
    Frazil,
    FrazilOneThread,
    Nydus,
    MkfsErofs,
    Casync,
    Ceiling,
}

impl Contender {
    const ALL: [Self; 6] =
        [Self::Frazil, Self::FrazilOneThread, Self::Nydus, Self::MkfsErofs, Self::Casync, Self::Ceiling];

    fn name(self) -> String {
        match self {
            Self::Frazil => "frazil convert",
            Self::FrazilOneThread => "frazil convert --threads 1",
            Self::Nydus => "nydus-image create (targz-rafs, zstd) + merge",
            Self::MkfsErofs => "mkfs.erofs -zlz4hc, from the unpacked tree",
            Self::Casync => "casync make, from the unpacked tree",
            Self::Ceiling => "ceiling: gunzip + SHA-256, one thread, nothing stored",
        }
        .to_owned()
    }
}

#[derive(Default)]
struct Figures {
    rate: Series,
    cpu: Series,
    memory: Series,
    stored: Series,
}

impl Figures {
    fn add(&mut self, cost: &Cost, tar_mb: f64, stored_bytes: u64) {
        self.rate.push(tar_mb / cost.wall.as_secs_f64());
        self.cpu.push(cost.cpu.as_secs_f64());
        self.memory.push(cost.peak_memory_bytes as f64 / 1e6);
        self.stored.push(stored_bytes as f64 / 1e6);
    }

    fn cells(&self) -> Vec<String> {
        [&self.rate, &self.cpu, &self.memory, &self.stored].map(Series::cell).to_vec()
    }
}

struct Conversion<'a> {
    setup: &'a Setup,
    layout: Layout,
    tree: PathBuf,
}

impl Conversion<'_> {
    /// One run of one contender into a fresh directory: its cost, and the bytes that it left there.
    fn once(&self, contender: Contender) -> anyhow::Result<(Cost, u64)> {
        let out = tempfile::tempdir_in(&self.setup.work_dir)?;
        let cost = match contender {
            Contender::Frazil => self.frazil(out.path(), None),
            Contender::FrazilOneThread => self.frazil(out.path(), Some("1")),
            Contender::Nydus => nydus::convert(
                &self.setup.peers.join("nydus-image"),
                &self.layout,
                out.path(),
                &out.path().join("merged"),
            ),
            Contender::MkfsErofs => measure(
                Command::new("mkfs.erofs").arg("-zlz4hc").arg(out.path().join("image")).arg(&self.tree),
            ),
            Contender::Casync => measure(
                Command::new("casync")
                    .args(["make", "--store"])
                    .arg(out.path().join("store.castr"))
                    .arg(out.path().join("image.catar"))
                    .arg(&self.tree),
            ),
            Contender::Ceiling => {
                let started = Instant::now();
                self.layout.gunzip_and_hash()?;
                Ok(Cost { wall: started.elapsed(), cpu: started.elapsed(), ..Cost::default() })
            }
        }?;
        Ok((cost, stored_bytes(out.path())?))
    }

    fn frazil(&self, out: &Path, threads: Option<&str>) -> anyhow::Result<Cost> {
        let mut command = Command::new(&self.setup.frazil);
        command
            .arg("convert")
            .arg(format!("oci:{}:{}", self.layout.dir.display(), self.layout.tag))
            .args(["--name", "bench", "--store"])
            .arg(out.join("store"))
            .arg("--keys")
            .arg(self.setup.work_dir.join("keys"));
        if let Some(threads) = threads {
            command.args(["--threads", threads]);
        }
        measure(&mut command)
    }
}

fn unpack(layout: &Layout, work_dir: &Path) -> anyhow::Result<PathBuf> {
    let bundle = work_dir.join(format!("unpacked-{}", layout.tag));
    if !bundle.exists() {
        let image = format!("{}:{}", layout.dir.display(), layout.tag);
        measure(Command::new("umoci").args(["unpack", "--image", &image]).arg(&bundle))?;
    }
    Ok(bundle.join("rootfs"))
}

/// The sizes of all files below `dir`.
pub(crate) fn stored_bytes(dir: &Path) -> anyhow::Result<u64> {
    let mut total = 0;
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => pending.push(entry.path()),
                kind if kind.is_file() => total += entry.metadata()?.len(),
                _ => {}
            }
        }
    }
    Ok(total)
}
