//! The disk tier beside foyer: fill throughput, hit latency, restart, kill -9, and what eviction leaves.
//!
//! Both get the same sealed chunks, both answers are verified against the chunk id, and both start from a page cache
//! that is either warm or dropped. foyer is heavy to build: `--features foyer` brings it in.

mod chunks;
#[cfg(feature = "foyer")]
mod foyer_peer;
mod ours;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;

use crate::{measure, report};
use chunks::Chunks;

/// Fills are waited for in batches of so many bytes, so that no contender may drop them.
const BATCH_BYTES: usize = 8 << 20;
/// The lengths of chunk that are measured, in bytes.
const CHUNK_LENS: [usize; 2] = [512 << 10, 128 << 10];
/// How long the process that is killed may fill, at the most.
const FILL_BEFORE_KILL: Duration = Duration::from_secs(2);

/// What the benchmark needs to know.
#[derive(Args)]
pub(crate) struct Setup {
    /// Where the caches go; a directory on a real disk
    #[arg(long, default_value = "target/bench")]
    work_dir: PathBuf,
    /// How many bytes of chunks are filled
    #[arg(long, default_value_t = 4 << 30)]
    total_bytes: usize,
    /// How many hits are timed
    #[arg(long, default_value_t = 4000)]
    hits: usize,
    /// Fill only, until killed: how this benchmark runs itself
    #[arg(long, hide = true)]
    fill_only: Option<String>,
}

/// What came back for a chunk.
#[derive(PartialEq, Eq)]
pub(crate) enum Found {
    /// The right bytes, verified.
    Right,
    /// Other bytes.
    #[cfg_attr(not(feature = "foyer"), expect(dead_code, reason = "our tier verifies what it gives"))]
    Wrong,
    /// Nothing.
    Absent,
}

/// A disk cache that competes.
pub(crate) trait Contender: Sized {
    /// Its name in tables.
    const NAME: &'static str;
    /// Opens a cache directory with a quota; ready as soon as the first get can be asked.
    fn open(
        directory: &Path,
        quota_bytes: usize,
        chunks: Arc<Chunks>,
    ) -> impl Future<Output = anyhow::Result<Self>>;
    /// Puts a chunk on its way to disk.
    fn put(&self, number: usize) -> impl Future<Output = anyhow::Result<()>>;
    /// Waits until everything is on disk and in the index.
    fn settle(&self) -> impl Future<Output = ()>;
    /// Gets a chunk back, from disk alone.
    fn get(&self, number: usize) -> impl Future<Output = Found>;
    /// Ends it in good order.
    fn close(self) -> impl Future<Output = anyhow::Result<()>>;
}

/// Runs all contenders, and prints their tables.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    std::fs::create_dir_all(&setup.work_dir)?;
    if let Some(name) = &setup.fill_only {
        return runtime.block_on(fill_until_killed(setup, name));
    }
    for chunk_len in CHUNK_LENS {
        let chunks = Arc::new(Chunks::new(setup.total_bytes / chunk_len, chunk_len));
        let mut rows = vec![(
            "making and hashing the chunks alone".to_owned(),
            vec![format!("{:.0}", chunks.making_mb_per_second())],
        )];
        rows.push(runtime.block_on(row::<ours::Ours>(setup, &chunks))?);
        #[cfg(feature = "foyer")]
        rows.push(runtime.block_on(row::<foyer_peer::Foyer>(setup, &chunks))?);
        let title = format!("Disk tier, {} chunks of {} KiB", chunks.len(), chunk_len >> 10);
        report::table(&title, &COLUMNS, &rows);
    }
    Ok(())
}

const COLUMNS: [&str; 7] = [
    "fill MB/s",
    "hit µs p50 / p99, page cache warm",
    "hit µs p50 / p99, dropped",
    "restart ms: first hit / all indexed",
    "lost at restart",
    "after kill -9: right / wrong / absent",
    "share of the quota kept after filling it 1.5 times, least–most",
];

async fn row<C: Contender>(setup: &Setup, chunks: &Arc<Chunks>) -> anyhow::Result<(String, Vec<String>)> {
    let place = tempfile::tempdir_in(&setup.work_dir)?;
    let mut cells = Vec::new();
    // Room for all, with a margin for whatever the contender adds.
    let quota = setup.total_bytes + setup.total_bytes / 8 + (256 << 20);
    let directory = place.path().join("cache");
    let cache = C::open(&directory, quota, Arc::clone(chunks)).await?;
    let started = Instant::now();
    put_all(&cache, chunks, 0..chunks.len()).await?;
    cells.push(format!("{:.0}", setup.total_bytes as f64 / 1e6 / started.elapsed().as_secs_f64()));
    cells.push(latencies(&cache, chunks, setup.hits).await);
    measure::drop_caches()?;
    cells.push(latencies(&cache, chunks, setup.hits / 4).await);
    cache.close().await?;

    let started = Instant::now();
    let cache = C::open(&directory, quota, Arc::clone(chunks)).await?;
    while cache.get(chunks.len() / 2).await != Found::Right && started.elapsed() < Duration::from_secs(60) {}
    let first = started.elapsed();
    cache.settle().await;
    cells.push(format!("{:.1} / {:.1}", first.as_secs_f64() * 1e3, started.elapsed().as_secs_f64() * 1e3));
    cells.push(format!("{}", tally(&cache, chunks).await.2));
    cache.close().await?;
    drop(place);

    cells.push(killed::<C>(setup, chunks, quota).await?);
    cells.push(kept_share::<C>(setup, chunks).await?);
    Ok((C::NAME.to_owned(), cells))
}

async fn put_all<C: Contender>(
    cache: &C,
    chunks: &Chunks,
    numbers: std::ops::Range<usize>,
) -> anyhow::Result<()> {
    let batch = (BATCH_BYTES / chunks.chunk_len).max(1);
    for number in numbers {
        cache.put(number).await?;
        if number % batch == batch - 1 {
            cache.settle().await;
        }
    }
    cache.settle().await;
    Ok(())
}

async fn latencies<C: Contender>(cache: &C, chunks: &Chunks, hits: usize) -> String {
    let mut micros = Vec::with_capacity(hits);
    let mut random = 1_u64;
    for _ in 0..hits {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let started = Instant::now();
        let found = cache.get((random >> 33) as usize % chunks.len()).await;
        if found == Found::Right {
            micros.push(started.elapsed().as_secs_f64() * 1e6);
        }
    }
    micros.sort_by(f64::total_cmp);
    let at = |share: f64| micros.get((micros.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    format!("{:.0} / {:.0}", at(0.5), at(0.99))
}

/// How many chunks are right, wrong and absent.
async fn tally<C: Contender>(cache: &C, chunks: &Chunks) -> (usize, usize, usize) {
    let mut tally = (0, 0, 0);
    for number in 0..chunks.len() {
        match cache.get(number).await {
            Found::Right => tally.0 += 1,
            Found::Wrong => tally.1 += 1,
            Found::Absent => tally.2 += 1,
        }
    }
    tally
}

/// Fills in a process of its own, kills it, and looks at what it left.
async fn killed<C: Contender>(setup: &Setup, chunks: &Arc<Chunks>, quota: usize) -> anyhow::Result<String> {
    let place = tempfile::tempdir_in(&setup.work_dir)?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["disk-tier", "--fill-only", &format!("{}:{}", C::NAME, chunks.chunk_len)])
        .arg("--total-bytes")
        .arg(setup.total_bytes.to_string())
        .arg("--work-dir")
        .arg(place.path())
        .spawn()?;
    std::thread::sleep(FILL_BEFORE_KILL + chunks.making * 2);
    child.kill()?;
    child.wait()?;
    let cache = C::open(&place.path().join("cache"), quota, Arc::clone(chunks)).await?;
    cache.settle().await;
    let (right, wrong, absent) = tally(&cache, chunks).await;
    cache.close().await?;
    Ok(format!("{right} / {wrong} / {absent}"))
}

async fn fill_until_killed(setup: &Setup, of: &str) -> anyhow::Result<()> {
    let (name, len) = of.split_once(':').context("NAME:LENGTH")?;
    let chunk_len = len.parse()?;
    let chunks = Arc::new(Chunks::new(setup.total_bytes / chunk_len, chunk_len));
    let (directory, quota) = (setup.work_dir.join("cache"), setup.total_bytes * 9 / 8 + (256 << 20));
    if name == ours::Ours::NAME {
        let cache = ours::Ours::open(&directory, quota, Arc::clone(&chunks)).await?;
        put_all(&cache, &chunks, 0..chunks.len()).await?;
    }
    #[cfg(feature = "foyer")]
    if name == foyer_peer::Foyer::NAME {
        let cache = foyer_peer::Foyer::open(&directory, quota, Arc::clone(&chunks)).await?;
        put_all(&cache, &chunks, 0..chunks.len()).await?;
    }
    std::thread::sleep(Duration::from_secs(60));
    Ok(())
}

/// Fills half as much again as fits, and counts what is kept at ten moments.
async fn kept_share<C: Contender>(setup: &Setup, chunks: &Arc<Chunks>) -> anyhow::Result<String> {
    let place = tempfile::tempdir_in(&setup.work_dir)?;
    let quota = 256 << 20;
    let fits = quota / chunks.chunk_len;
    let cache = C::open(&place.path().join("cache"), quota, Arc::clone(chunks)).await?;
    put_all(&cache, chunks, 0..fits * 5 / 4).await?;
    let mut shares = Vec::new();
    for step in 0..10 {
        let (from, to) = (fits * 5 / 4 + fits * step / 40, fits * 5 / 4 + fits * (step + 1) / 40);
        put_all(&cache, chunks, from..to).await?;
        let mut kept = 0;
        for number in 0..to {
            kept += usize::from(cache.get(number).await == Found::Right);
        }
        shares.push(kept as f64 / fits as f64);
    }
    cache.close().await?;
    let (least, most) =
        shares.iter().fold((f64::MAX, 0.0_f64), |(a, b), share| (a.min(*share), b.max(*share)));
    Ok(format!("{least:.2}–{most:.2}"))
}
