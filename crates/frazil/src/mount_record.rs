//! What the host remembers of a mount: which process serves it.
//!
//! Invariant: an agent holds the lock on its record until its process is gone, so a process that can take the
//! lock knows that the agent has ended, whatever ended it. Process ids are shown to people and trusted by
//! nobody.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::failure::Advised;
use crate::places;

/// How often a lock is tried while an agent ends.
const POLL: Duration = Duration::from_millis(10);

/// How long a process that wants to mount next at a directory waits for an agent whose mount there is gone.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A record is short: a path, a name and a number.
const MAX_RECORD_BYTES: u64 = 64 << 10;

/// How often a record is made anew if somebody removes it before it is locked.
const MAX_ATTEMPTS: usize = 16;

/// A mounted directory's record.
#[derive(Debug)]
pub(crate) struct MountRecord {
    path: PathBuf,
    /// Never closed: the kernel lets go of the lock when the process is gone, and no moment earlier.
    file: ManuallyDrop<File>,
}

/// What a record says, for people.
#[derive(Serialize, Debug)]
pub(crate) struct Mount<'a> {
    /// The process that serves the mount.
    pub(crate) pid: u32,
    /// The directory.
    pub(crate) directory: &'a Path,
    /// The image.
    pub(crate) image: &'a str,
    /// `tree` or `erofs`.
    pub(crate) face: String,
}

/// What a record says of a mount that is served, for other processes.
#[derive(Deserialize, Debug)]
pub(crate) struct Served {
    /// The process that serves it. It held the record's lock when this was read.
    pub(crate) pid: i32,
    /// The image.
    pub(crate) image: String,
}

/// The process that serves the directory, if one does.
pub(crate) fn served_at(directory: &Path) -> Result<Option<Served>> {
    let path = path(directory, "json")?;
    let Ok(file) = OpenOptions::new().read(true).open(&path) else { return Ok(None) };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        // Nobody holds it: what it says is over.
        Ok(()) => return Ok(None),
        Err(Errno::WOULDBLOCK) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
    let mut text = String::new();
    file.take(MAX_RECORD_BYTES).read_to_string(&mut text).context("cannot read the record")?;
    // A record that is still being written belongs to a mount that is not there yet.
    Ok(serde_json::from_str(&text).ok())
}

impl MountRecord {
    /// Takes the directory's record for this process.
    pub(crate) fn take(directory: &Path) -> Result<Self> {
        let path = path(directory, "json")?;
        for _ in 0..MAX_ATTEMPTS {
            let file = open(&path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // A process that waited for the earlier agent may have removed it since it was opened.
                Ok(()) if is_at(&file, &path) => return Ok(Self { path, file: ManuallyDrop::new(file) }),
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(served(directory)),
                Err(error) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
            }
        }
        Err(anyhow!("the record {} keeps being removed by others", path.display()))
    }

    /// Writes what the record says.
    pub(crate) fn write(&mut self, mount: &Mount<'_>) -> Result<()> {
        let text = serde_json::to_string_pretty(mount)? + "\n";
        self.file
            .set_len(0)
            .and_then(|()| self.file.write_all(text.as_bytes()))
            .context("cannot write the record")
    }
}

impl Drop for MountRecord {
    fn drop(&mut self) {
        discard(&self.path);
    }
}

/// Whether this file is still what lies at the path: another agent may have a record there by now.
fn is_at(file: &File, path: &Path) -> bool {
    let number = |found: std::io::Result<fs::Metadata>| found.ok().map(|found| (found.dev(), found.ino()));
    number(fs::symlink_metadata(path)) == number(file.metadata())
}

/// Removes a record. One that stays says nothing: nobody holds its lock.
fn discard(path: &Path) {
    let _ = fs::remove_file(path);
    let _ = fs::remove_file(path.with_extension("sock"));
    discard_empty(&path.with_extension("log"));
}

/// Fails if the directory has a living agent, whose log must not be touched. An agent whose mount is gone has
/// a moment to end: it may still be writing down what the mount taught it.
pub(crate) fn refuse_if_served(directory: &Path) -> Result<()> {
    let Some(agent) = Agent::of(directory)? else { return Ok(()) };
    let patience = if is_mount_point(directory) { Duration::ZERO } else { LAST_WORDS };
    agent.await_end(directory, patience).map_err(|_| served(directory))
}

/// Whether something is mounted at the directory, or it cannot be looked at: a mount whose agent was killed
/// cannot be.
fn is_mount_point(directory: &Path) -> bool {
    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
    match (device(directory), directory.parent().and_then(device)) {
        (Some(own), Some(above)) => own != above,
        _ => true,
    }
}

fn served(directory: &Path) -> anyhow::Error {
    Advised::new(anyhow!("another process is mounting or serving {}", directory.display()))
        .with_hint(format!("frazil unmount {}", directory.display()))
        .into()
}

/// The agent of a directory, watched from before its mount ends.
#[derive(Debug)]
pub(crate) struct Agent {
    path: PathBuf,
    file: File,
}

impl Agent {
    /// The agent of a directory; none if there is no record of one.
    pub(crate) fn of(directory: &Path) -> Result<Option<Self>> {
        let path = path(directory, "json")?;
        Ok(OpenOptions::new().read(true).open(&path).ok().map(|file| Self { path, file }))
    }

    /// Waits until it has ended, for at most `patience`, and removes what it could not remove itself if it
    /// was killed.
    pub(crate) fn await_end(self, directory: &Path, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    if is_at(&self.file, &self.path) {
                        discard(&self.path);
                    }
                    return Ok(());
                }
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(POLL),
                Err(Errno::WOULDBLOCK) => {
                    return Err(anyhow!(
                        "{} is unmounted, but its agent still runs; see {}",
                        directory.display(),
                        self.path.display()
                    ));
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot lock {}", self.path.display()));
                }
            }
        }
    }
}

/// Where the agent of a directory listens for questions.
pub(crate) fn socket(directory: &Path) -> Result<PathBuf> {
    path(directory, "sock")
}

/// The log of a directory's agent, empty.
pub(crate) fn log(directory: &Path) -> Result<(PathBuf, File)> {
    let path = path(directory, "log")?;
    let file = open(&path)?;
    file.set_len(0).with_context(|| format!("cannot empty {}", path.display()))?;
    Ok((path, file))
}

/// Removes a log that says nothing.
pub(crate) fn discard_empty(log: &Path) {
    if fs::metadata(log).is_ok_and(|found| found.len() == 0) {
        let _ = fs::remove_file(log);
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options.open(path).with_context(|| format!("cannot open {}", path.display()))
}

/// The file of a directory: named by a hash, since a path can be longer than a file's name.
fn path(directory: &Path, extension: &str) -> Result<PathBuf> {
    let mounts = places::runtime()?.join("mounts");
    places::private_directory(&mounts)?;
    let hash = blake3::hash(directory.as_os_str().as_bytes()).to_hex();
    Ok(mounts.join(format!("{}.{extension}", &hash[..16])))
}

/// The directory's one name, although it may be a mount that cannot be looked at.
pub(crate) fn canonical(directory: &Path) -> Result<PathBuf> {
    if let Ok(path) = directory.canonicalize() {
        return Ok(path);
    }
    let absolute =
        std::path::absolute(directory).with_context(|| format!("cannot find the directory {directory:?}"))?;
    match (absolute.parent().map(Path::canonicalize), absolute.file_name()) {
        (Some(Ok(parent)), Some(name)) => Ok(parent.join(name)),
        _ => Ok(absolute),
    }
}
