//! What the stories of the caching tiers are told with: chunks, a tier that has them, and a cache directory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use frazil_cache::conformance::{FaultyTier, Sample};
use frazil_cache::{Disk, DiskOptions, Tier, Wanted};
use frazil_format::{Compression, Payload, RootId, ScopeSecret, Sealer};

/// Long past anything that is not a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A directory that goes away with its test. A disk tier that was just dropped may still be writing its last chunk,
/// so that one removal may find the directory not empty.
pub(crate) struct Scratch(PathBuf);

/// A new directory.
pub(crate) fn scratch() -> Scratch {
    Scratch(tempfile::tempdir().unwrap().keep())
}

impl Scratch {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let given_up = std::time::Instant::now() + PATIENCE;
        loop {
            match std::fs::remove_dir_all(&self.0) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    if std::time::Instant::now() > given_up {
                        eprintln!("{} is left behind: {error}", self.0.display());
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => return,
            }
        }
    }
}

/// Chunks of this length, each another; the same for the same numbers.
pub(crate) fn chunks(numbers: std::ops::Range<u64>, len: usize) -> Vec<Sample> {
    let sealer = Sealer::new(&ScopeSecret::from_bytes([9; 32]), RootId::FIRST);
    numbers.map(|number| chunk(&sealer, number, len)).collect()
}

fn chunk(sealer: &Sealer, number: u64, len: usize) -> Sample {
    let mut bytes = number.to_le_bytes().repeat(len.div_ceil(8));
    bytes.truncate(len);
    let sealed = sealer.seal(&Payload::compress(&bytes, Compression::None)).unwrap();
    let wanted = Wanted { root: RootId::FIRST, id: sealed.id, sealed_len: sealed.chunk.len() as u32 };
    Sample { wanted, chunk: sealed.chunk }
}

/// A tier that has these chunks and counts how often it is asked.
pub(crate) fn below(samples: &[Sample]) -> Arc<FaultyTier> {
    Arc::new(FaultyTier::new(samples))
}

/// Options of a test: no floor, quick retries.
pub(crate) fn options(directory: &Path, quota_bytes: u64) -> DiskOptions {
    DiskOptions {
        free_floor_bytes: 0,
        retry_after: Duration::from_millis(50),
        pending_fill_bytes: 1 << 30,
        read_timeout: PATIENCE,
        ..DiskOptions::new(directory, quota_bytes)
    }
}

/// Reads all, and holds every answer against the right one.
pub(crate) async fn read_all(tier: &dyn Tier, samples: &[Sample]) {
    for sample in samples {
        let chunk = tier.get(&sample.wanted).await.unwrap_or_else(|error| panic!("{error}: {error:?}"));
        assert!(chunk == sample.chunk, "{tier} gave other bytes for {:?}", sample.wanted);
    }
}

/// Reads all, and waits until they are on disk.
pub(crate) async fn fill(disk: &Disk, samples: &[Sample]) {
    read_all(disk, samples).await;
    assert!(disk.settle(PATIENCE).await, "fills never end: {:?}", disk.counts());
}

/// The file of a chunk in a cache directory.
pub(crate) fn file(directory: &Path, wanted: &Wanted) -> PathBuf {
    let id = wanted.id.to_string();
    directory.join(format!("v1/chunks/{}/{}-{id}", &id[..2], wanted.root))
}

/// What the cache directory takes, in bytes of allocated blocks, directories and the lock left out.
pub(crate) fn allocated(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => allocated(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

/// Waits for something that happens in the background.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A file system of its own, unmounted also when the test fails.
pub(crate) struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    pub(crate) fn of(size: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], directory.path());
        Self(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// What its files take at this very moment, in bytes.
    pub(crate) fn used_bytes(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.path()).unwrap();
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    }

    pub(crate) fn remount(&self, mode: &str) {
        run("mount", &["-o", &format!("remount,{mode}")], self.path());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn run(tool: &str, args: &[&str], path: &Path) {
    let status = Command::new(tool).args(args).arg(path).status().unwrap();
    assert!(status.success(), "{tool} {args:?} needs root");
}
