//! The lock of a directory store: what an object store's conditional put is for a bucket.
//!
//! Invariant: a record that is compared and then replaced, or deleted, is so under an exclusive flock(2) on
//! `frazil.lock`. The kernel, or the NFS server, gives it back when its holder dies.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::StoreError;

/// The lock's file in the store.
pub(crate) const FILE_NAME: &str = "frazil.lock";

/// Between two attempts. What is done under the lock takes a few fsyncs.
const PAUSE: Duration = Duration::from_millis(5);

/// The most attempts: half a minute of them.
const MAX_ATTEMPTS: u32 = 6000;

#[derive(Debug)]
pub(crate) struct Exclusion {
    path: PathBuf,
}

/// The lock, held until it is dropped.
#[derive(Debug)]
struct Held {
    _lock: OwnedFd,
}

impl Exclusion {
    pub(crate) fn of_directory(store: &Path) -> Self {
        Self { path: store.join(FILE_NAME) }
    }

    /// Does something under the lock. Once begun it is done to its end, and the lock is held until then, even
    /// if nobody waits for it any more: the operating system finishes what it was asked to do even without
    /// whoever asked.
    pub(crate) async fn alone<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let held = self.hold().await?;
        let done = tokio::spawn(async move {
            let _held = held;
            work.await
        });
        done.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
    }

    /// Waits for the lock.
    async fn hold(&self) -> Result<Held, StoreError> {
        let io = |errno: Errno| StoreError::io("lock", self.path.display(), errno.into());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
        let lock = rustix::fs::open(&self.path, flags, Mode::from_raw_mode(0o666)).map_err(io)?;
        for _ in 0..MAX_ATTEMPTS {
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Held { _lock: lock }),
                Err(Errno::WOULDBLOCK | Errno::INTR) => tokio::time::sleep(PAUSE).await,
                Err(errno) => return Err(io(errno)),
            }
        }
        Err(StoreError::Stalled {
            action: "lock",
            path: self.path.display().to_string(),
            waited: PAUSE.saturating_mul(MAX_ATTEMPTS),
        })
    }
}
