//! The cache directory: every system call of the disk tier.
//!
//! ```text
//! <directory>/v1/lock         held by the process that owns the directory
//! <directory>/v1/chunks/ab/   sealed chunks, by root and id
//! <directory>/v1/tmp/         chunks that are being written; emptied at every start
//! <directory>/v1/quarantine/  entries that were not what their name says
//! ```
//!
//! Names are resolved from the version directory that was opened once: when somebody removes it, or puts another
//! in its place, this one is gone, and never mixes with the other. Nothing is synced. A chunk gets its name by a
//! rename after its last byte, so a killed process leaves whole chunks or none; a power cut may leave files of zeros
//! or of no length, which no read believes: every one is verified against the id, and what fails is fetched again.

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use frazil_format::MAX_SEALED_LEN;
use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::file_name::CHUNKS;

/// The layout below the cache directory. Another layout gets another number, and leaves this one alone.
const VERSION: &str = "v1";
const LOCK: &str = "lock";
pub(super) const TMP: &str = "tmp";
pub(super) const QUARANTINE: &str = "quarantine";

const DIRECTORY: OFlags =
    OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
/// A directory is listed in buffers of this many bytes.
const LISTING_BYTES: usize = 64 << 10;

/// A cache directory that this process owns until it drops it.
#[derive(Debug)]
pub(super) struct Directory {
    version: OwnedFd,
    lock: OwnedFd,
}

/// What a directory says of one of its files.
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) len: u64,
    /// When it was written, in seconds.
    pub(super) written: i64,
}

/// What a file turned out to be.
pub(super) enum Contents {
    /// Bytes, as many as a chunk may have.
    Bytes(Vec<u8>),
    /// No chunk: too long, or not a file at all.
    Absurd(String),
}

impl Directory {
    /// Opens the directory, makes what is missing, and takes it for this process.
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let parent = fs::open(path, DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty())?;
        make_directory(&parent, VERSION)?;
        let version = fs::openat(&parent, VERSION, DIRECTORY, Mode::empty())?;
        // For reading, so that a file system that turned read-only can still be served from.
        let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let lock = fs::openat(&version, LOCK, flags, Mode::RUSR | Mode::WUSR)?;
        match fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(io::Error::other("another process uses the directory")),
            Err(error) => return Err(error.into()),
        }
        let directory = Self { version, lock };
        directory.make_all()?;
        Ok(directory)
    }

    /// The directories of a new cache. Those of chunks are made when the first of theirs is written: two hundred and
    /// fifty-six of them would hold up the start of whoever waits for this one.
    fn make_all(&self) -> io::Result<()> {
        [TMP, QUARANTINE, CHUNKS].into_iter().try_for_each(|name| make_directory(&self.version, name))
    }

    /// Whether somebody removed it, or its lock, under our feet.
    pub(super) fn is_gone(&self) -> bool {
        let unlinked = |fd: &OwnedFd| fs::fstat(fd).is_ok_and(|stat| stat.st_nlink == 0);
        unlinked(&self.version)
            || unlinked(&self.lock)
            || fs::statat(&self.version, LOCK, AtFlags::SYMLINK_NOFOLLOW).is_err()
    }

    /// How many bytes are free on its file system, for this user.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let stat = fs::fstatvfs(&self.version)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Whether there is something by this name.
    pub(super) fn has(&self, name: &str) -> bool {
        fs::statat(&self.version, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Reads a whole file.
    pub(super) fn read(&self, name: &str) -> io::Result<Contents> {
        // Without blocking: a pipe in a file's place would never open.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = match fs::openat(&self.version, name, flags, Mode::empty()) {
            Err(Errno::LOOP) => return Ok(Contents::Absurd("it is a symbolic link".to_owned())),
            opened => opened?,
        };
        let stat = fs::fstat(&fd)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let len = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
        if kind != FileType::RegularFile {
            return Ok(Contents::Absurd(format!("it is a {kind:?}")));
        }
        if len > u64::from(MAX_SEALED_LEN) {
            return Ok(Contents::Absurd(format!("it has {len} bytes")));
        }
        // One byte more than there should be: the read that finds the end needs no second buffer.
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0).saturating_add(1));
        File::from(fd).take(u64::from(MAX_SEALED_LEN)).read_to_end(&mut bytes)?;
        Ok(Contents::Bytes(bytes))
    }

    /// Writes a file, which gets its name when its last byte is there.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // One thread writes, so one temporary name is enough; what a failed write left is truncated.
        let tmp = format!("{TMP}/fill");
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = fs::openat(&self.version, tmp.as_str(), flags, Mode::RUSR | Mode::WUSR)?;
        let written = File::from(fd).write_all(bytes).and_then(|()| self.place(&tmp, name));
        if written.is_err() {
            // The room it took may be the last there was.
            let _ = self.remove(&tmp);
        }
        written
    }

    /// Moves a file to where it belongs, into a directory that may not be there yet.
    fn place(&self, from: &str, to: &str) -> io::Result<()> {
        match (self.rename(from, to), to.rsplit_once('/')) {
            (Err(error), Some((parent, _))) if error.kind() == io::ErrorKind::NotFound => {
                make_directory(&self.version, parent)?;
                self.rename(from, to)
            }
            (placed, _) => placed,
        }
    }

    /// Moves a file.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(fs::renameat(&self.version, from, &self.version, to)?)
    }

    /// Removes a file, or an empty directory in its place.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::unlinkat(&self.version, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => Ok(fs::unlinkat(&self.version, name, AtFlags::REMOVEDIR)?),
            removed => Ok(removed?),
        }
    }

    /// Lists the files of a directory of ours, if it is there. Other things than files are left out.
    pub(super) fn list(&self, name: &str) -> io::Result<Vec<Listed>> {
        let fd = match fs::openat(&self.version, name, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            opened => opened?,
        };
        let mut buffer = vec![MaybeUninit::uninit(); LISTING_BYTES];
        let mut entries = RawDir::new(fd.as_fd(), &mut buffer);
        let mut listed = Vec::new();
        // Bounded by what the directory holds; its file system ends the listing.
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            // Gone since, or unreadable: either way nothing to index.
            let Ok(stat) = fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                let len = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
                listed.push(Listed { name: name.to_owned(), len, written: stat.st_mtime });
            }
        }
        Ok(listed)
    }

    /// Makes the directories that somebody removed.
    pub(super) fn mend(&self) -> io::Result<()> {
        self.make_all()
    }
}

fn make_directory(parent: &OwnedFd, name: &str) -> io::Result<()> {
    match fs::mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        // A read-only file system says so even of what is there.
        Err(Errno::ROFS) if fs::statat(parent, name, AtFlags::empty()).is_ok() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
