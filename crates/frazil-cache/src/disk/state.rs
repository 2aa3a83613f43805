//! What the disk tier knows: its directory, while it has one, what is in it, and how it fares.
//!
//! Readers read and quarantine; only the keeper (`keeper.rs`) writes and evicts. So the quota needs no lock, and the
//! worst that a race leaves behind is an index entry without a file, which its next reader drops.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use frazil_format::SealedChunk;
use rustix::io::Errno;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::counts::Counters;
use super::directory::{Contents, Directory};
use super::file_name::chunk_file;
use super::fills::Fills;
use super::health::{Gate, Warnings};
use super::quarantine::Quarantine;
use super::{DiskCounts, DiskOptions};
use crate::Wanted;
use crate::policy::residents::{Key, Residents};

/// At most this many reads are under way at once, stuck ones included: a disk that hangs takes no more
/// threads than these.
const MAX_READS: usize = 64;

#[derive(Debug)]
pub(super) struct DiskState {
    pub(super) options: DiskOptions,
    directory: RwLock<Option<Arc<Directory>>>,
    pub(super) why_not: Mutex<Option<String>>,
    pub(super) index: Residents<()>,
    /// Whether the index knows all files: until then a file may be there that the index does not know.
    pub(super) indexed: AtomicBool,
    pub(super) fills: Fills,
    pub(super) quarantine: Quarantine,
    pub(super) attachments: Gate,
    pub(super) reads: Gate,
    pub(super) writes: Gate,
    permits: Arc<Semaphore>,
    pub(super) attach_warnings: Warnings,
    read_warnings: Warnings,
    pub(super) write_warnings: Warnings,
    damage_warnings: Warnings,
    pub(super) counters: Counters,
}

/// What looking for a chunk on disk came to.
pub(super) enum LookUp {
    Hit(SealedChunk),
    /// It is not there, or no longer.
    Miss,
    /// The disk cannot be asked.
    Bypass,
}

impl DiskState {
    pub(super) fn new(options: DiskOptions) -> Self {
        let retry_after = options.retry_after;
        Self {
            directory: RwLock::new(None),
            why_not: Mutex::new(None),
            index: Residents::new(options.quota_bytes),
            indexed: AtomicBool::new(false),
            fills: Fills::new(options.pending_fill_bytes),
            quarantine: Quarantine::new(options.quota_bytes),
            attachments: Gate::strict(retry_after),
            reads: Gate::tolerant(retry_after),
            writes: Gate::strict(retry_after),
            permits: Arc::new(Semaphore::new(MAX_READS)),
            attach_warnings: Warnings::default(),
            read_warnings: Warnings::default(),
            write_warnings: Warnings::default(),
            damage_warnings: Warnings::default(),
            counters: Counters::default(),
            options,
        }
    }

    pub(super) fn directory(&self) -> Option<Arc<Directory>> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a directory in place, or takes it away.
    pub(super) fn set_directory(&self, directory: Option<Directory>) {
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = directory.map(Arc::new);
    }

    /// Looks for a chunk; never longer than the read timeout.
    pub(super) async fn look_up(self: &Arc<Self>, wanted: &Wanted) -> LookUp {
        let key = Key::from(wanted);
        if let Some(chunk) = self.fills.get(&key) {
            return LookUp::Hit(chunk);
        }
        let Some(directory) = self.directory().filter(|_| self.reads.is_open()) else {
            return LookUp::Bypass;
        };
        let all_known = self.indexed.load(Ordering::Acquire);
        if self.index.get(&key).is_none() && all_known {
            return LookUp::Miss;
        }
        let read = async {
            let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
            let state = Arc::clone(self);
            let read = spawn_blocking(move || {
                let _permit = permit;
                state.read(&directory, &key)
            });
            read.await.ok()
        };
        match timeout(self.options.read_timeout, read).await {
            Ok(Some(found)) => found,
            _ => {
                self.read_failed(&io::ErrorKind::TimedOut.into());
                LookUp::Bypass
            }
        }
    }

    fn read(&self, directory: &Directory, key: &Key) -> LookUp {
        match directory.read(&chunk_file(key)) {
            Ok(Contents::Bytes(bytes)) => {
                self.reads.succeeded();
                let len = bytes.len() as u64;
                match SealedChunk::verify(&key.id, Bytes::from(bytes)) {
                    Ok(chunk) => LookUp::Hit(chunk),
                    Err(error) => self.damaged(directory, key, len, &io::Error::other(error)),
                }
            }
            Ok(Contents::Absurd(what)) => self.damaged(directory, key, u64::MAX, &io::Error::other(what)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.index.remove(key) {
                    self.counters.vanished.add(1);
                }
                LookUp::Miss
            }
            // A bad sector stays bad: the chunk moves elsewhere.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::IO) => {
                self.read_failed(&error);
                self.damaged(directory, key, u64::MAX, &error)
            }
            Err(error) => {
                self.read_failed(&error);
                LookUp::Bypass
            }
        }
    }

    fn damaged(&self, directory: &Directory, key: &Key, len: u64, error: &io::Error) -> LookUp {
        self.index.remove(key);
        self.quarantine.take(directory, key, len);
        self.counters.quarantined.add(1);
        self.damage_warnings.warn(&self.options.directory, "an entry was not its chunk", error);
        LookUp::Miss
    }

    fn read_failed(&self, error: &io::Error) {
        self.reads.failed();
        self.read_warnings.warn(&self.options.directory, "a read failed", error);
    }

    pub(super) fn counts(&self) -> DiskCounts {
        let (counters, kept) = (&self.counters, self.index.occupancy());
        DiskCounts {
            hits: counters.hits.get(),
            misses: counters.misses.get(),
            fills: counters.fills.get(),
            dropped_fills: counters.dropped_fills.get(),
            evictions: counters.evictions.get(),
            quarantined: counters.quarantined.get(),
            vanished: counters.vanished.get(),
            bypassed: counters.bypassed.get(),
            chunks: kept.chunks,
            bytes: kept.bytes,
            quarantine_bytes: self.quarantine.bytes(),
            pending_fills: self.fills.len(),
        }
    }
}
