//! What an operator decides about the disk tier.

use std::path::PathBuf;
use std::time::Duration;

/// Where the disk tier keeps chunks, and how much of the disk it may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiskOptions {
    /// The cache directory; made if it is missing. It belongs to one process at a time.
    pub directory: PathBuf,
    /// The most that chunks and quarantine take together, in bytes of whole pages. One chunk that is being written
    /// comes on top.
    pub quota_bytes: u64,
    /// The tier shrinks rather than leave less than this free on the file system, in bytes.
    pub free_floor_bytes: u64,
    /// How long to wait before a disk that failed, or a directory that another process holds, is tried again.
    pub retry_after: Duration,
    /// A read that takes longer goes below instead.
    pub read_timeout: Duration,
    /// Fills beyond this many waiting bytes are dropped.
    pub pending_fill_bytes: u64,
}

impl DiskOptions {
    /// The defaults for a directory and a quota: a free floor of 1 GiB, retries after 10 s, reads of at most 1 s,
    /// 64 MiB of waiting fills.
    pub fn new(directory: impl Into<PathBuf>, quota_bytes: u64) -> Self {
        Self {
            directory: directory.into(),
            quota_bytes,
            free_floor_bytes: 1 << 30,
            retry_after: Duration::from_secs(10),
            read_timeout: Duration::from_secs(1),
            pending_fill_bytes: 64 << 20,
        }
    }
}
