//! Agents behind one host cache: how long a cold read takes, how much goes through one and through eight of them, and
//! how much memory each takes.
//!
//! The host cache has every chunk in its memory before anything is measured. A cold read is one `pread` of 512 KiB at
//! an aligned place of a large file that no read has touched since the image was mounted, in random order.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::latencies::Latencies;
use super::{CHUNK_LEN, Setup};
use crate::measure::{drop_caches, measure};
use crate::oci::Layout;
use crate::report::{self, Series};

const NAME: &str = "bench";
/// The faces of an image.
const FACES: [&str; 2] = ["tree", "erofs"];
/// How many agents read at once.
const CROWD: usize = 8;
/// The size of the null file system's file.
const NULL_BYTES: u64 = 1 << 30;
/// How long a host cache may take until it answers.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// An agent that nobody reads from gives memory back within ten seconds.
const REST: Duration = Duration::from_secs(12);

/// The tables of agents.
pub(super) fn tables(setup: &Setup, image: &str) -> anyhow::Result<Vec<String>> {
    let layout = Layout::open(image)?;
    let scene = Scene::prepare(setup, &layout)?;
    // Every chunk is in the host's memory from now on.
    read_tree(&scene.mount("tree", 0)?.dir)?;
    let mut latencies: Vec<Latencies> = FACES.iter().map(|_| Latencies::default()).collect();
    let mut null = Latencies::default();
    let mut rates: Vec<[Series; 2]> = FACES.iter().map(|_| Default::default()).collect();
    let mut memory: Vec<[Series; 6]> = FACES.iter().map(|_| Default::default()).collect();
    for _ in 0..setup.rounds.max(1) {
        for (at, face) in FACES.into_iter().enumerate() {
            let mounted = scene.mount(face, 0)?;
            let idle = mounted.memory()?;
            latencies[at].extend(cold_reads(&mounted.dir, setup.reads.div_ceil(setup.rounds.max(1)))?);
            drop(mounted);
            let mounted = scene.mount(face, 0)?;
            let started = Instant::now();
            let bytes = read_tree(&mounted.dir)?;
            rates[at][0].push(bytes as f64 / 1e6 / started.elapsed().as_secs_f64());
            let read = mounted.memory()?;
            std::thread::sleep(REST);
            let rested = mounted.memory()?;
            drop(mounted);
            [idle.0, idle.1, read.0, read.1, rested.0, rested.1]
                .iter()
                .zip(&mut memory[at])
                .for_each(|(bytes, series)| series.push(*bytes as f64 / f64::from(1 << 20)));
            rates[at][1].push(scene.crowd(face)?);
        }
        null.extend(null_reads(scene.dir.path())?);
    }
    Ok(vec![
        latency_table(&mut latencies, &mut null),
        rate_table(&rates, &layout.tag),
        memory_table(&memory, &layout.tag),
    ])
}

fn latency_table(latencies: &mut [Latencies], null: &mut Latencies) -> String {
    let mut cells = |latencies: &mut Latencies, published: &str| {
        let mut cells: Vec<String> =
            [0.5, 0.99, 0.999].map(|share| format!("{:.0} µs", latencies.micros(share))).into();
        cells.push(format!("{:.2}", latencies.micros(0.5) / null.micros(0.5)));
        cells.push(published.to_owned());
        cells
    };
    let mut rows: Vec<_> = FACES
        .iter()
        .zip(latencies)
        .map(|(face, latencies)| {
            (format!("agent, {face} face, decoding included"), cells(latencies, "2.2 ms after the fetch"))
        })
        .collect();
    let ceiling = [0.5, 0.99, 0.999].map(|share| format!("{:.0} µs", null.micros(share)));
    let cells = ceiling.into_iter().chain(["1.00".to_owned(), String::new()]).collect();
    rows.push(("ceiling: a FUSE file of zeros".to_owned(), cells));
    let columns = ["p50", "p99", "p99.9", "p50 ÷ its ceiling's", "published"];
    report::markdown(
        "A cold read of 512 KiB from host memory, end to end (aim: p50 under 600 µs)",
        &columns,
        &rows,
    )
}

fn rate_table(rates: &[[Series; 2]], tag: &str) -> String {
    let rows: Vec<_> = FACES
        .iter()
        .zip(rates)
        .map(|(face, [one, crowd])| {
            let ratio = one.median().zip(crowd.median()).map_or(f64::NAN, |(one, crowd)| crowd / one);
            (format!("{face} face"), vec![one.cell(), crowd.cell(), format!("{ratio:.2}")])
        })
        .collect();
    let title = format!("Reading every file of {tag} through one host cache, caches dropped, MB/s in all");
    report::markdown(&title, &["one agent", "eight agents at once", "ratio"], &rows)
}

fn memory_table(memory: &[[Series; 6]], tag: &str) -> String {
    let rows: Vec<_> = FACES
        .iter()
        .zip(memory)
        .map(|(face, series)| (format!("agent, {face} face"), series.iter().map(Series::cell).collect()))
        .chain([(
            "published: nydusd, by this project's measurement".to_owned(),
            ["27–40", "", "83–234", "", "", ""].map(str::to_owned).into(),
        )])
        .collect();
    let columns = [
        "RSS idle (aim: under 20)",
        "PSS idle",
        "RSS after reading every file",
        "PSS",
        "RSS after 12 s without a read",
        "PSS",
    ];
    report::markdown(&format!("Memory of one agent, {tag}, MiB"), &columns, &rows)
}

/// The image, a host cache, and places to mount.
struct Scene<'a> {
    setup: &'a Setup,
    dir: tempfile::TempDir,
    cached: Option<Child>,
}

impl<'a> Scene<'a> {
    fn prepare(setup: &'a Setup, layout: &Layout) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir_in(&setup.work_dir)?;
        let runtime = dir.path().join("runtime");
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(runtime)?;
        let mut scene = Self { setup, dir, cached: None };
        let source = format!("oci:{}:{}", layout.dir.display(), layout.tag);
        measure(scene.frazil().args(["convert", &source, "--name", NAME]))?;
        let cached = scene
            .frazil()
            .args(["cached", "--memory-budget", "8G", "--disk-quota", "0", "--disk-dir"])
            .arg(scene.path("cache"))
            .arg("--socket")
            .arg(scene.path("cached.sock"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the host cache")?;
        scene.cached = Some(cached);
        let started = Instant::now();
        while UnixStream::connect(scene.path("cached.sock")).is_err() {
            if started.elapsed() > READY_LIMIT {
                bail!("the host cache does not start");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(scene)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn frazil(&self) -> Command {
        let mut command = Command::new(&self.setup.frazil);
        command.env("XDG_RUNTIME_DIR", self.path("runtime")).env("HOME", self.dir.path());
        command.arg("--store").arg(self.path("store")).arg("--keys").arg(self.path("keys"));
        command
    }

    fn mount(&self, face: &str, number: usize) -> anyhow::Result<Mounted<'_>> {
        let dir = std::path::absolute(self.path(&format!("mnt{number}")))?;
        std::fs::create_dir_all(&dir)?;
        let mut command = self.frazil();
        // A forecast would come while an idle agent is looked at, and beside the reads that are timed.
        command.args(["mount", "--no-profile", "--via", face, "--cache"]).arg(self.path("cached.sock"));
        command.arg(NAME).arg(&dir);
        measure(&mut command)?;
        Ok(Mounted { scene: self, dir })
    }

    /// MB/s in all of several agents, each read by a thread of its own.
    fn crowd(&self, face: &str) -> anyhow::Result<f64> {
        let mounted =
            (0..CROWD).map(|number| self.mount(face, number)).collect::<anyhow::Result<Vec<_>>>()?;
        let started = Instant::now();
        let bytes = std::thread::scope(|scope| {
            let readers: Vec<_> =
                mounted.iter().map(|mounted| scope.spawn(|| read_tree(&mounted.dir))).collect();
            readers
                .into_iter()
                .map(|reader| reader.join().unwrap_or_else(|_| bail!("a reader died")))
                .sum::<anyhow::Result<u64>>()
        })?;
        Ok(bytes as f64 / 1e6 / started.elapsed().as_secs_f64())
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        if let Some(mut cached) = self.cached.take() {
            let _ = cached.kill();
            let _ = cached.wait();
        }
    }
}

/// A mounted image; unmounted when dropped.
struct Mounted<'s> {
    scene: &'s Scene<'s>,
    dir: PathBuf,
}

impl Mounted<'_> {
    /// RSS and PSS of the agent, in bytes.
    fn memory(&self) -> anyhow::Result<(u64, u64)> {
        let pid = self.pid()?;
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let field = |name: &str| {
            let line =
                rollup.lines().find_map(|line| line.strip_prefix(name)).context("a field of smaps_rollup")?;
            let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
            anyhow::Ok(kib << 10)
        };
        Ok((field("Rss:")?, field("Pss:")?))
    }

    fn pid(&self) -> anyhow::Result<u64> {
        for entry in std::fs::read_dir(self.scene.path("runtime/frazil/mounts"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let record: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
                if record["directory"].as_str().map(Path::new) == Some(&self.dir) {
                    return record["pid"].as_u64().context("a record names its process");
                }
            }
        }
        bail!("no record of {}", self.dir.display())
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        if let Err(error) = measure(self.scene.frazil().arg("unmount").arg(&self.dir)) {
            eprintln!("cannot unmount {}: {error:#}", self.dir.display());
        }
    }
}

/// Reads every regular file of a tree: how many bytes there were.
fn read_tree(root: &Path) -> anyhow::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    for path in files(root)? {
        let mut file = File::open(path)?;
        loop {
            let len = file.read(&mut buffer)?;
            if len == 0 {
                break;
            }
            bytes += len as u64;
        }
    }
    Ok(bytes)
}

fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut files, mut pending) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Reads so many pieces of large files, each for the first time.
fn cold_reads(root: &Path, count: usize) -> anyhow::Result<Vec<Duration>> {
    let mut pieces = Vec::new();
    for path in files(root)? {
        let whole = path.metadata()?.len() / CHUNK_LEN as u64;
        pieces.extend((0..whole).map(|piece| (path.clone(), piece * CHUNK_LEN as u64)));
    }
    anyhow::ensure!(!pieces.is_empty(), "the image has no file of 512 KiB");
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for at in (1..pieces.len()).rev() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        pieces.swap(at, (random % (at as u64 + 1)) as usize);
    }
    drop_caches()?;
    pieces.into_iter().take(count).map(|(path, offset)| piece(&path, offset)).collect()
}

fn piece(path: &Path, offset: u64) -> anyhow::Result<Duration> {
    let file = File::open(path)?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random)?;
    let mut buffer = vec![1; CHUNK_LEN];
    let started = Instant::now();
    file.read_exact_at(&mut buffer, offset)?;
    Ok(started.elapsed())
}

fn null_reads(dir: &Path) -> anyhow::Result<Vec<Duration>> {
    let mount_point = dir.join("null");
    std::fs::create_dir_all(&mount_point)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter();
    let _null = frazil_mount::null::mount(&mount_point, NULL_BYTES)?;
    let path = mount_point.join(frazil_mount::null::FILE_NAME);
    (0..200).map(|number| piece(&path, (number * 7919 % 2048) * CHUNK_LEN as u64)).collect()
}
