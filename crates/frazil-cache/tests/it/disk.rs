//! The disk tier: its laws, alone and in the stack; its quota; its restarts.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use frazil_cache::conformance::{self, Damage, FaultyTier, Recovery, Sample, Stage};
use frazil_cache::{Disk, Memory, Served, Tier, TierError, Wanted};
use futures::future::join_all;

use crate::origin::OnDisk;
use crate::stages::{
    PATIENCE, Scratch, Tmpfs, allocated, below, chunks, file, fill, options, read_all, scratch,
};

/// A disk tier over an origin, with or without memory above it; damage is done to the cache's files.
struct OverOrigin {
    origin: OnDisk,
    directory: Scratch,
    disk: Arc<Disk>,
    top: Arc<dyn Tier>,
}

impl OverOrigin {
    async fn with(samples: &[Sample], over: impl Fn(Arc<Disk>) -> Arc<dyn Tier>) -> Self {
        let origin = OnDisk::with(samples).await;
        let directory = scratch();
        let disk = Arc::new(Disk::new(origin.tier(), options(directory.path(), 256 << 20)));
        let top = over(Arc::clone(&disk));
        Self { origin, directory, disk, top }
    }
}

impl Stage for OverOrigin {
    fn tier(&self) -> Arc<dyn Tier> {
        Arc::clone(&self.top)
    }

    fn damage(&self, sample: &Sample, damage: &Damage) {
        while self.disk.counts().pending_fills > 0 {
            std::thread::yield_now();
        }
        let file = file(self.directory.path(), &sample.wanted);
        std::fs::write(&file, damage.of(&std::fs::read(&file).unwrap())).unwrap();
    }

    fn repair(&self, sample: &Sample) {
        while self.disk.counts().pending_fills > 0 {
            std::thread::yield_now();
        }
        let healed = std::fs::read(file(self.directory.path(), &sample.wanted)).unwrap();
        if self.disk.counts().quarantined > 0 {
            assert!(healed == *sample.chunk.bytes(), "a refetched chunk replaces the damaged one");
        }
    }

    fn recovery(&self) -> Recovery {
        Recovery::Heals
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_keeps_the_laws_of_a_tier() {
    conformance::run(async |samples: &[Sample]| OverOrigin::with(samples, |disk| disk).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_over_disk_over_origin_keeps_the_laws_of_a_tier() {
    for budget in [0, 64 << 20] {
        let over = |disk: Arc<Disk>| Arc::new(Memory::new(disk, budget)) as Arc<dyn Tier>;
        conformance::run(async |samples: &[Sample]| OverOrigin::with(samples, over).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_outlives_faults_below_alone_and_under_memory() {
    let directories = scratch();
    let number = std::sync::atomic::AtomicU64::new(0);
    let disk = |below| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Arc::new(Disk::new(below, options(&directories.path().join(number.to_string()), 64 << 20)))
    };
    conformance::run_over_faults(|below| disk(below)).await;
    conformance::run_over_faults(|below| Arc::new(Memory::new(disk(below), 64 << 20))).await;
}

#[tokio::test]
async fn the_stack_prints_itself() {
    let memory = |disk: Arc<Disk>| Arc::new(Memory::new(disk, 64 << 20)) as Arc<dyn Tier>;
    let stage = OverOrigin::with(&[], memory).await;
    let (path, origin) = (stage.directory.path().display(), stage.origin.tier());
    assert_eq!(stage.top.to_string(), format!("memory(64 MiB) → disk({path}, 256 MiB) → {origin}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_is_warm_and_right() {
    let directory = scratch();
    let samples = chunks(0..100, 30_000);
    fill(&Disk::new(below(&samples), options(directory.path(), 64 << 20)), &samples).await;
    let origin = below(&samples);
    let disk = Disk::new(origin.clone(), options(directory.path(), 64 << 20));
    // At once, while the index is being made: files are found by name.
    read_all(&disk, &samples).await;
    assert_eq!(origin.fetches(), 0, "every chunk was on disk");
    assert!(disk.settle(PATIENCE).await);
    assert_eq!(disk.counts().chunks, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_with_a_smaller_quota_shrinks_the_cache() {
    let directory = scratch();
    let samples = chunks(0..100, 30_000);
    fill(&Disk::new(below(&samples), options(directory.path(), 64 << 20)), &samples).await;
    assert_eq!(allocated(directory.path()), 100 * 32_768);
    let disk = Disk::new(below(&samples), options(directory.path(), 20 * 32_768));
    assert!(disk.settle(PATIENCE).await);
    assert_eq!(allocated(directory.path()), 20 * 32_768);
    assert_eq!((disk.counts().chunks, disk.counts().bytes), (20, 20 * 32_768));
    read_all(&disk, &samples).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_holds_under_fills_from_many_sides() {
    // A file system of its own says in one call what all files take.
    let tmpfs = Tmpfs::of("64m");
    let samples = chunks(0..600, 100_000);
    let quota = 8 << 20;
    let disk = Arc::new(Disk::new(below(&samples), options(tmpfs.path(), quota)));
    let readers = (0..6_usize).map(|reader| {
        let (disk, samples) = (Arc::clone(&disk), samples.clone());
        tokio::spawn(async move { read_all(disk.as_ref(), &samples[reader * 100..][..100]).await })
    });
    let reading = tokio::spawn(join_all(readers));
    let in_flight = 102_400;
    while !reading.is_finished() || disk.counts().pending_fills > 0 {
        let taken = tmpfs.used_bytes();
        assert!(taken <= quota + in_flight, "{taken} bytes of {quota}");
        tokio::task::yield_now().await;
    }
    reading.await.unwrap().into_iter().for_each(Result::unwrap);
    assert!(disk.settle(PATIENCE).await);
    let counts = disk.counts();
    assert_eq!(counts.bytes, allocated(tmpfs.path()), "the books are right");
    assert_eq!((counts.fills, counts.fills - counts.evictions), (600, counts.chunks));
}

/// A tier whose chunks are made part by part: all of them would be too much to hold.
#[derive(Debug)]
struct PartByPart(Mutex<Arc<FaultyTier>>);

#[async_trait]
impl Tier for PartByPart {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let part = Arc::clone(&self.0.lock().unwrap());
        part.get(wanted).await
    }
}

impl std::fmt::Display for PartByPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("part by part")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gigabytes_are_read_through_a_quota_of_256_megabytes() {
    const PARTS: u64 = 32;
    const CHUNKS_IN_PART: u64 = 128;
    let tmpfs = Tmpfs::of("320m");
    let quota = 256 << 20;
    let source = Arc::new(PartByPart(Mutex::new(below(&[]))));
    let disk = Disk::new(source.clone(), options(tmpfs.path(), quota));
    for part in 0..PARTS {
        let samples = chunks(part * CHUNKS_IN_PART..(part + 1) * CHUNKS_IN_PART, 512 << 10);
        *source.0.lock().unwrap() = below(&samples);
        for some in samples.chunks(16) {
            read_all(&disk, some).await;
            let taken = tmpfs.used_bytes();
            assert!(taken <= quota + (516 << 10), "{taken} bytes of {quota}");
        }
        assert!(disk.settle(PATIENCE).await);
        assert!(tmpfs.used_bytes() <= quota);
    }
    let counts = disk.counts();
    assert_eq!(counts.fills, PARTS * CHUNKS_IN_PART, "{counts:?}");
    assert!(counts.chunks > 500 && counts.evictions >= 3500, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_leaves_the_hot_base_on_disk() {
    let directory = scratch();
    let (base, scan) = (chunks(0..50, 4000), chunks(1000..2000, 4000));
    let origin = below(&base.iter().chain(&scan).cloned().collect::<Vec<_>>());
    let disk = Disk::new(origin.clone(), options(directory.path(), 100 * 4096));
    fill(&disk, &base).await;
    fill(&disk, &base).await;
    fill(&disk, &scan).await;
    let before = origin.fetches();
    read_all(&disk, &base).await;
    assert_eq!(origin.fetches(), before, "no base chunk is fetched again");
}

#[tokio::test(flavor = "multi_thread")]
async fn fills_beyond_the_queue_are_dropped_and_counted() {
    let directory = scratch();
    let samples = chunks(0..20, 50_000);
    let no_queue = frazil_cache::DiskOptions { pending_fill_bytes: 0, ..options(directory.path(), 64 << 20) };
    let disk = Disk::new(below(&samples), no_queue);
    fill(&disk, &samples).await;
    let counts = disk.counts();
    assert_eq!((counts.fills, counts.dropped_fills, counts.chunks), (0, 20, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_goes_past_the_directory_until_the_first_one_leaves() {
    let directory = scratch();
    let samples = chunks(0..5, 10_000);
    let first = Disk::new(below(&samples), options(directory.path(), 64 << 20));
    fill(&first, &samples).await;
    // The lock is of the open file, so a second tier stands for a second process.
    let second = Disk::new(below(&samples), options(directory.path(), 64 << 20));
    assert_eq!(second.bypass_reason().as_deref(), Some("another process uses the directory"));
    read_all(&second, &samples).await;
    assert_eq!((second.counts().bypassed, second.counts().chunks), (5, 0));
    drop(first);
    crate::stages::until("the second takes over", || second.bypass_reason().is_none()).await;
    crate::stages::until("the second finds the chunks", || second.counts().chunks == 5).await;
    read_all(&second, &samples).await;
    assert_eq!(second.counts().hits, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_versions_directory_is_left_alone() {
    let directory = scratch();
    let other = directory.path().join("v0/chunks/precious");
    std::fs::create_dir_all(other.parent().unwrap()).unwrap();
    std::fs::write(&other, "another layout").unwrap();
    let samples = chunks(0..50, 10_000);
    let disk = Disk::new(below(&samples), options(directory.path(), 10 * 12_288));
    fill(&disk, &samples).await;
    assert_eq!(std::fs::read(&other).unwrap(), b"another layout");
}
