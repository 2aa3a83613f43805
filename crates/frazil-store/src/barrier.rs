//! The durability barrier: what was put before it survives a power cut after it.
//!
//! Chunks of a directory store are not fsynced one by one: at hundreds of chunks a second that is the largest
//! cost of a conversion. They are put into place atomically, and one syncfs(2) makes all of them durable before
//! anything that refers to them is written. `docs/decisions/0003-durability-of-a-directory-store.md` has the
//! whole argument; these are the parts of it that live here:
//!
//! * A chunk that was *found* counts as written too: another process may have put it and not synced yet.
//! * The directory is opened once, for the store's life: the kernel reports a failed write-back to every
//!   descriptor that was open when it happened, and to each only once.
//! * So after one failure nothing is durable any more through this store: what was lost is not known, and the
//!   next syncfs(2) would say that all is well.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::StoreError;

#[derive(Debug)]
pub(crate) struct Barrier {
    /// `None` for stores whose puts are durable when they return.
    directory: Option<Arc<Directory>>,
}

#[derive(Debug)]
struct Directory {
    fd: OwnedFd,
    /// How many puts have ended.
    puts: AtomicU64,
    progress: Mutex<Progress>,
}

#[derive(Clone, Copy, Debug)]
enum Progress {
    /// This many puts are durable.
    Synced(u64),
    /// A sync failed with this error number.
    Lost(Errno),
}

impl Barrier {
    /// The barrier of a directory's file system.
    pub(crate) fn of_directory(path: &Path) -> Result<Self, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| StoreError::io("open", path.display(), errno.into()))?;
        let progress = Mutex::new(Progress::Synced(0));
        Ok(Self { directory: Some(Arc::new(Directory { fd, puts: AtomicU64::new(0), progress })) })
    }

    /// The barrier of a store whose puts are durable when they return.
    #[cfg(any(feature = "cloud", test))]
    pub(crate) fn not_needed() -> Self {
        Self { directory: None }
    }

    /// Notes that something was put, or was found and may not be durable yet.
    pub(crate) fn note_put(&self) {
        if let Some(directory) = &self.directory {
            directory.puts.fetch_add(1, SeqCst);
        }
    }

    /// Waits until everything noted so far is durable. Costs nothing if it already is.
    pub(crate) async fn pass(&self) -> Result<(), StoreError> {
        let Some(directory) = self.directory.clone() else { return Ok(()) };
        let wanted = directory.puts.load(SeqCst);
        // All of it on the blocking thread: a caller who stops waiting must not take the kernel's only report of
        // a lost write with it.
        tokio::task::spawn_blocking(move || directory.sync(wanted))
            .await
            .unwrap_or(Err(Errno::INTR))
            .map_err(|errno| StoreError::io("sync", "the store's file system", errno.into()))
    }
}

impl Directory {
    fn sync(&self, wanted: u64) -> Result<(), Errno> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        match *progress {
            Progress::Synced(puts) if puts >= wanted => return Ok(()),
            Progress::Synced(_) => {}
            Progress::Lost(errno) => return Err(errno),
        }
        // Puts may have ended while we waited for the lock: this sync covers them, and their callers' need none.
        let covered = self.puts.load(SeqCst);
        let synced = rustix::fs::syncfs(&self.fd);
        *progress = match synced {
            Ok(()) => Progress::Synced(covered),
            Err(errno) => Progress::Lost(errno),
        };
        synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(flags: OFlags, progress: Progress) -> Directory {
        let fd = rustix::fs::open(std::env::temp_dir(), flags, Mode::empty()).unwrap();
        Directory { fd, puts: AtomicU64::new(1), progress: Mutex::new(progress) }
    }

    #[test]
    fn a_sync_covers_every_put_that_ended_before_it() {
        let directory = directory(OFlags::RDONLY, Progress::Synced(0));
        directory.puts.store(5, SeqCst);
        directory.sync(1).unwrap();
        assert!(matches!(*directory.progress.lock().unwrap(), Progress::Synced(5)));
    }

    #[test]
    fn what_is_durable_already_is_not_synced_again() {
        // Whatever is synced through this descriptor fails.
        let directory = directory(OFlags::PATH, Progress::Synced(1));
        directory.sync(1).unwrap();
        assert_eq!(directory.sync(2), Err(Errno::BADF));
    }

    #[test]
    fn after_a_lost_write_nothing_is_durable_even_if_the_kernel_says_so() {
        let broken = directory(OFlags::PATH, Progress::Synced(0));
        assert_eq!(broken.sync(1), Err(Errno::BADF));
        assert!(matches!(*broken.progress.lock().unwrap(), Progress::Lost(Errno::BADF)));
        let healthy = directory(OFlags::RDONLY, Progress::Lost(Errno::IO));
        assert_eq!(healthy.sync(0), Err(Errno::IO));
    }
}
