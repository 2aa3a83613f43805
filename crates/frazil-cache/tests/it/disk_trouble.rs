//! Full, read-only, forbidden and vanished cache directories: the reader never learns of it.

use frazil_cache::{Disk, DiskOptions};

use crate::stages::{
    PATIENCE, Tmpfs, allocated, below, chunks, file, fill, options, read_all, scratch, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_smaller_than_the_quota_holds_what_it_can() {
    let tmpfs = Tmpfs::of("4m");
    let samples = chunks(0..100, 300_000);
    let disk = Disk::new(below(&samples), options(tmpfs.path(), 1 << 30));
    fill(&disk, &samples).await;
    let counts = disk.counts();
    assert!(counts.chunks > 5 && counts.evictions > 50, "{counts:?}");
    fill(&disk, &samples).await;
    assert_eq!(disk.counts().quarantined, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_file_system_is_gone_past_and_tried_again() {
    let tmpfs = Tmpfs::of("4m");
    let ballast = tmpfs.path().join("ballast");
    let samples = chunks(0..8, 100_000);
    let disk = Disk::new(below(&samples), options(tmpfs.path(), 1 << 30));
    assert!(disk.settle(PATIENCE).await);
    assert!(std::fs::write(&ballast, vec![1; 5 << 20]).is_err(), "it is full now");
    fill(&disk, &samples).await;
    assert_eq!((disk.counts().bypassed, disk.counts().chunks), (8, 0));
    std::fs::remove_file(&ballast).unwrap();
    until_filled(&disk, &samples).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_need_of_the_file_system_is_given_back() {
    let tmpfs = Tmpfs::of("8m");
    let samples = chunks(0..20, 100_000);
    let floor = DiskOptions { free_floor_bytes: 2 << 20, ..options(tmpfs.path(), 1 << 30) };
    let disk = Disk::new(below(&samples), floor);
    fill(&disk, &samples).await;
    assert_eq!(disk.counts().chunks, 20);
    std::fs::write(tmpfs.path().join("others"), vec![1; 5 << 20]).unwrap();
    // Nobody reads and nobody fills: the floor is watched all the same.
    until("the floor is free again", || {
        let stat = rustix::fs::statvfs(tmpfs.path()).unwrap();
        stat.f_bavail * stat.f_frsize >= 2 << 20
    })
    .await;
    assert!(disk.counts().chunks < 20);
    read_all(&disk, &samples).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_that_turns_read_only_still_serves_what_it_has() {
    let tmpfs = Tmpfs::of("8m");
    let samples = chunks(0..20, 100_000);
    let origin = below(&samples);
    let disk = Disk::new(origin.clone(), options(tmpfs.path(), 1 << 30));
    fill(&disk, &samples[..10]).await;
    tmpfs.remount("ro");
    fill(&disk, &samples).await;
    assert_eq!(origin.fetches(), 20, "the first ten came from disk");
    assert_eq!((disk.counts().bypassed, disk.counts().chunks), (10, 10));
    tmpfs.remount("rw");
    until_filled(&disk, &samples).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_on_a_read_only_file_system_is_found_and_gone_past() {
    let tmpfs = Tmpfs::of("8m");
    let samples = chunks(0..2, 100_000);
    let disk = Disk::new(below(&samples), options(tmpfs.path(), 1 << 30));
    fill(&disk, &samples).await;
    std::fs::write(file(tmpfs.path(), &samples[0].wanted), "rotten").unwrap();
    tmpfs.remount("ro");
    fill(&disk, &samples).await;
    assert_eq!(disk.counts().quarantined, 1);
    fill(&disk, &samples).await;
    assert_eq!(disk.counts().quarantined, 1, "it is not asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_may_not_be_changed_is_gone_past() {
    let tmpfs = Tmpfs::of("8m");
    let samples = chunks(0..4, 100_000);
    tmpfs.remount("ro");
    let disk = Disk::new(below(&samples), options(tmpfs.path(), 1 << 30));
    assert!(disk.bypass_reason().is_some_and(|why| why.contains("Read-only")), "{:?}", disk.bypass_reason());
    fill(&disk, &samples).await;
    assert_eq!(disk.counts().bypassed, 4);
    tmpfs.remount("rw");
    until("the directory is taken", || disk.bypass_reason().is_none()).await;
    until_filled(&disk, &samples).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_a_file_is_gone_past() {
    let parent = scratch();
    let path = parent.path().join("cache");
    std::fs::write(&path, "a file").unwrap();
    let samples = chunks(0..4, 1000);
    let disk = Disk::new(below(&samples), options(&path, 1 << 30));
    assert!(disk.bypass_reason().is_some());
    read_all(&disk, &samples).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_removed_under_the_tiers_feet_is_made_again() {
    let parent = scratch();
    let path = parent.path().join("cache");
    let samples = chunks(0..20, 10_000);
    let disk = Disk::new(below(&samples), options(&path, 64 << 20));
    fill(&disk, &samples).await;
    // Out of the way first: the tier makes its directory anew while the old one is still being removed.
    let old = parent.path().join("old");
    std::fs::rename(&path, &old).unwrap();
    std::fs::remove_dir_all(&old).unwrap();
    read_all(&disk, &samples).await;
    until_filled(&disk, &samples).await;
    assert!(allocated(&path) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_directory_of_the_fan_out_may_go_missing() {
    let directory = scratch();
    let samples = chunks(0..20, 10_000);
    let disk = Disk::new(below(&samples), options(directory.path(), 64 << 20));
    fill(&disk, &samples).await;
    std::fs::remove_dir_all(directory.path().join("v1/chunks")).unwrap();
    fill(&disk, &samples).await;
    assert_eq!(disk.counts().vanished, 20);
    assert_eq!((disk.counts().chunks, disk.counts().fills), (20, 40));
}

/// Reads until all chunks are on disk: what failed once is tried again.
async fn until_filled(disk: &Disk, samples: &[frazil_cache::conformance::Sample]) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while disk.counts().chunks < samples.len() as u64 {
        assert!(std::time::Instant::now() < deadline, "never filled: {:?}", disk.counts());
        fill(disk, samples).await;
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
