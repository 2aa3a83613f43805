//! What is read from a mounted tree, and how fast it was.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, ensure};

use crate::measure::drop_caches;

/// Files are opened or statted in this many steps through the tree, so that neighbours are not neighbours in time.
const STRIDE: usize = 7919;
/// How many 4 KiB pieces are read at random places.
const RANDOM_READS: u64 = 20_000;
const PAGE: u64 = 4096;

/// The paths of a tree that the workloads use, relative to its root.
pub(crate) struct Paths {
    files: Vec<PathBuf>,
    largest: PathBuf,
    largest_len: u64,
}

/// Rates of one contender.
pub(crate) struct Rates {
    /// The largest file from its start to its end, page cache cold, MB/s.
    pub(crate) sequential_cold: f64,
    /// The same again, from the page cache, MB/s.
    pub(crate) sequential_warm: f64,
    /// 4 KiB at random places of the largest file, page cache cold, a second.
    pub(crate) random_cold: f64,
    /// The same places again, a second.
    pub(crate) random_warm: f64,
    /// Every file statted, dentry and inode caches cold, a second.
    pub(crate) stat_cold: f64,
    /// The same again, a second.
    pub(crate) stat_warm: f64,
    /// Open, read all and close of every small file, caches cold, files a second.
    pub(crate) open_cold: f64,
    /// The same again, files a second.
    pub(crate) open_warm: f64,
}

impl Paths {
    /// Walks a tree.
    pub(crate) fn of(root: &Path) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        let mut largest = (0, PathBuf::new());
        let mut pending = vec![root.to_path_buf()];
        while let Some(dir) = pending.pop() {
            for entry in std::fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))? {
                let entry = entry?;
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    pending.push(entry.path());
                } else if kind.is_file() {
                    let path = entry.path().strip_prefix(root)?.to_path_buf();
                    let len = entry.metadata()?.len();
                    if len > largest.0 {
                        largest = (len, path.clone());
                    }
                    files.push(path);
                }
            }
        }
        files.sort();
        ensure!(largest.0 >= PAGE, "the tree holds no file to read");
        Ok(Self { files, largest: largest.1, largest_len: largest.0 })
    }

    /// How the tree is described in a report's title.
    pub(crate) fn describe(&self) -> String {
        format!("{} files, the largest {:.0} MB", self.files.len(), self.largest_len as f64 / 1e6)
    }

    /// Leaves out, aloud, the files that a contender does not have: Nydus 2.2 has been seen to rename one.
    pub(crate) fn keep_those_in(&mut self, root: &Path) {
        self.files.retain(|path| {
            let there = root.join(path).symlink_metadata().is_ok();
            if !there {
                eprintln!("left out, for it is missing in {}: {}", root.display(), path.display());
            }
            there
        });
    }

    /// Measures every rate on the tree at `root`; the caches are dropped before each cold one.
    pub(crate) fn measure(&self, root: &Path) -> anyhow::Result<Rates> {
        let largest = root.join(&self.largest);
        let mb = self.largest_len as f64 / 1e6;
        drop_caches()?;
        let sequential_cold = rate(mb, || sequential(&largest))?;
        let sequential_warm = rate(mb, || sequential(&largest))?;
        drop_caches()?;
        let random_cold = rate(RANDOM_READS as f64, || self.random(&largest))?;
        let random_warm = rate(RANDOM_READS as f64, || self.random(&largest))?;
        drop_caches()?;
        let stat_cold = rate(self.files.len() as f64, || self.stat(root))?;
        let stat_warm = rate(self.files.len() as f64, || self.stat(root))?;
        drop_caches()?;
        let open_cold = self.open(root)?;
        let open_warm = self.open(root)?;
        Ok(Rates {
            sequential_cold,
            sequential_warm,
            random_cold,
            random_warm,
            stat_cold,
            stat_warm,
            open_cold,
            open_warm,
        })
    }

    fn strided(&self) -> impl Iterator<Item = &PathBuf> {
        let count = self.files.len();
        (0..count).filter_map(move |i| self.files.get(i.wrapping_mul(STRIDE) % count))
    }

    fn stat(&self, root: &Path) -> anyhow::Result<()> {
        for path in self.strided() {
            std::hint::black_box(root.join(path).symlink_metadata()?.len());
        }
        Ok(())
    }

    fn open(&self, root: &Path) -> anyhow::Result<f64> {
        const SMALL: u64 = 64 << 10;
        let small: Vec<PathBuf> = self
            .strided()
            .map(|path| root.join(path))
            .filter(|path| path.symlink_metadata().is_ok_and(|meta| meta.len() <= SMALL))
            .collect();
        let mut content = Vec::new();
        rate(small.len() as f64, || {
            for path in &small {
                content.clear();
                File::open(path)?.read_to_end(&mut content)?;
            }
            Ok(())
        })
    }

    /// The same places in every run: a fixed multiplicative walk over the file's pages.
    fn random(&self, path: &Path) -> anyhow::Result<()> {
        let file = File::open(path)?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random)?;
        let pages = self.largest_len / PAGE;
        let mut page = [0; PAGE as usize];
        let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
        for _ in 0..RANDOM_READS {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            file.read_exact_at(&mut page, state % pages * PAGE)?;
        }
        Ok(())
    }
}

/// Reads a file from its start to its end, 1 MiB at a time.
pub(crate) fn sequential(path: &Path) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NOATIME).open(path)?;
    let mut buffer = vec![0; 1 << 20];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

fn rate(amount: f64, work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let started = Instant::now();
    work()?;
    Ok(amount / started.elapsed().as_secs_f64())
}
