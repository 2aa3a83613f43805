//! Which pages of which files a workload reads: what it leaves in the page cache of a fresh EROFS mount.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::layers::Ranges;
use crate::cold_start::catalog::Workload;
use crate::cold_start::process::Speaker;
use crate::measure::{drop_caches, measure};
use crate::oci::Layout;
use crate::unmount::Unmount;

const PAGE: u64 = 4096;
const LIMIT: Duration = Duration::from_secs(120);
/// The read-ahead of a loop device, in sectors: the kernel's default of 128 KiB, whatever this machine's disk has.
const READ_AHEAD_SECTORS: &str = "256";

/// Paths relative to the root, and the pages that are there after the workload's run. Kept from sweep to sweep.
pub(super) fn pages(
    workload: &Workload,
    layout: &Layout,
    work: &Path,
) -> anyhow::Result<Vec<(PathBuf, Ranges)>> {
    let digest = layout.manifest.rsplit(':').next().unwrap_or_default();
    let record = work.join(format!("{}-{digest}.json", workload.name));
    if !record.exists() {
        eprintln!("recording a start of {}", workload.name);
        let pages = record_start(workload, layout, work)?;
        fs::write(&record, serde_json::to_vec(&pages)?)?;
    }
    Ok(serde_json::from_slice(&fs::read(record)?)?)
}

fn record_start(workload: &Workload, layout: &Layout, work: &Path) -> anyhow::Result<Vec<(PathBuf, Ranges)>> {
    let dir = tempfile::tempdir_in(work)?;
    let path = |name: &str| dir.path().join(name);
    let image = format!("{}:{}", layout.dir.display(), layout.tag);
    measure(Command::new("umoci").args(["unpack", "--image", &image]).arg(path("bundle")))
        .context("umoci runs: install the package umoci")?;
    measure(Command::new("mkfs.erofs").arg("--quiet").arg(path("image")).arg(path("bundle/rootfs")))
        .context("mkfs.erofs runs: install the package erofs-utils")?;
    for name in ["mnt", "stage"] {
        fs::create_dir(path(name))?;
    }
    let device =
        Command::new("losetup").args(["--find", "--show", "--read-only"]).arg(path("image")).output()?;
    ensure!(device.status.success(), "losetup: {}", String::from_utf8_lossy(&device.stderr));
    let device = Loop(String::from_utf8(device.stdout)?.trim().to_owned());
    measure(Command::new("blockdev").args(["--setra", READ_AHEAD_SECTORS, &device.0]))?;
    drop_caches()?;
    measure(Command::new("mount").args(["-t", "erofs", "-o", "ro", &device.0]).arg(path("mnt")))?;
    let _mounted = Unmount(path("mnt"));
    let mut launch = Command::new("/proc/self/exe");
    launch.arg("launch").arg(path("mnt")).arg(path("stage")).arg("--").args(workload.argv);
    Speaker::start(&mut launch)?.hear(workload.line, LIMIT)?;
    let mut pages = Vec::new();
    collect(&path("mnt"), &path("mnt"), &mut pages)?;
    ensure!(!pages.is_empty(), "the start of {} left nothing in the page cache", workload.name);
    Ok(pages)
}

/// The loop device, given back when dropped.
struct Loop(String);

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = measure(Command::new("losetup").args(["--detach", &self.0]));
    }
}

fn collect(root: &Path, dir: &Path, pages: &mut Vec<(PathBuf, Ranges)>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(root, &entry.path(), pages)?;
        } else if kind.is_file() {
            let cached = cached(&entry.path(), entry.metadata()?.len())?;
            if !cached.is_empty() {
                pages.push((entry.path().strip_prefix(root)?.to_owned(), cached));
            }
        }
    }
    Ok(())
}

/// The ranges of a file that the page cache holds.
fn cached(path: &Path, len: u64) -> anyhow::Result<Ranges> {
    let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NOATIME).open(path)?;
    let mut ranges = Ranges::new();
    if len == 0 || cached_pages(&file, 0, len)? == 0 {
        return Ok(ranges);
    }
    for start in (0..len).step_by(PAGE as usize) {
        if cached_pages(&file, start, PAGE)? == 0 {
            continue;
        }
        match ranges.last_mut() {
            Some(last) if last.end == start => last.end = start + PAGE,
            _ => ranges.push(start..start + PAGE),
        }
    }
    Ok(ranges)
}

/// How many pages of a range the page cache holds, by cachestat(2), which reads nothing.
fn cached_pages(file: &File, offset: u64, len: u64) -> anyhow::Result<u64> {
    // The same number on every architecture; libc has no name for it yet.
    const CACHESTAT: libc::c_long = 451;
    let range = [offset, len];
    let mut counts = [0_u64; 5];
    // SAFETY: both structures are arrays of 64-bit numbers of the lengths that the kernel reads and writes.
    let result =
        unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), range.as_ptr(), counts.as_mut_ptr(), 0) };
    ensure!(result == 0, "cachestat: {} (it needs Linux 6.5)", std::io::Error::last_os_error());
    Ok(counts[0])
}
