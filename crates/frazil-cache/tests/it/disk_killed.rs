//! A process that fills a cache directory is killed; the next one is warm, and right.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command};

use frazil_cache::Disk;

use crate::stages::{PATIENCE, Scratch, allocated, below, chunks, fill, options, read_all, scratch, until};

/// Set for the child: the directory that it fills.
const DIRECTORY: &str = "FRAZIL_TEST_FILL_DIRECTORY";
const QUOTA: u64 = 8 << 20;
const CHUNK_LEN: usize = 100_000;
const CHUNKS: std::ops::Range<u64> = 0..160;

/// The child, killed also when the test fails.
struct Filling(Child);

impl Filling {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", "disk_killed::fills_a_directory_until_it_is_killed"])
            .env(DIRECTORY, directory);
        Self(child.stdout(std::process::Stdio::null()).spawn().unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        assert_eq!(self.0.wait().unwrap().signal(), Some(9), "it was still filling");
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Run by itself it proves only that a tier can be filled; the story below runs it as a child, and kills it.
#[tokio::test(flavor = "multi_thread")]
async fn fills_a_directory_until_it_is_killed() {
    let given = std::env::var_os(DIRECTORY);
    // A killed process could not remove a directory of its own.
    let own = given.is_none().then(scratch);
    let directory = own.as_ref().map_or_else(|| Path::new(given.as_ref().unwrap()), Scratch::path);
    let samples = chunks(CHUNKS, CHUNK_LEN);
    let disk = Disk::new(below(&samples), options(directory, QUOTA));
    loop {
        // Twice what the quota holds: every fill evicts.
        fill(&disk, &samples).await;
        if given.is_none() {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_writer_leaves_a_warm_cache_and_no_wrong_byte() {
    let directory = scratch();
    let samples = chunks(CHUNKS, CHUNK_LEN);
    for round in 1..=6_u64 {
        let mut child = Filling::start(directory.path());
        // Each round dies at another moment of a fill.
        until("the child fills", || allocated(directory.path()) > QUOTA / 8 * (round + 1)).await;
        child.kill();
        let left = allocated(directory.path());
        assert!(left <= QUOTA + 102_400, "{left} bytes of {QUOTA}");

        let origin = below(&samples);
        let disk = Disk::new(origin.clone(), options(directory.path(), QUOTA));
        assert_eq!(disk.bypass_reason(), None, "the lock died with its process");
        assert!(disk.settle(PATIENCE).await);
        assert_eq!(std::fs::read_dir(directory.path().join("v1/tmp")).unwrap().count(), 0);
        let warm = disk.counts().chunks;
        assert!(warm * 102_400 > QUOTA / 16, "{warm} chunks are left");
        read_all(&disk, &samples).await;
        let counts = disk.counts();
        assert_eq!(counts.quarantined, 0, "a rename leaves whole chunks or none");
        assert!(counts.hits > 0 && origin.fetches() < samples.len() as u64, "{counts:?}");
    }
}
