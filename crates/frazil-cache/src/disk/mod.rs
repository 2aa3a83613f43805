//! Sealed chunks on the local disk: the tier that survives restarts.
//!
//! Chunks are files of our own (docs/decisions/0012 has the comparison with foyer). The invariants: what is read is
//! verified against its id, and what fails is quarantined, fetched again and replaced; the quota and the free floor
//! are kept; and whatever the disk does, the reader gets the answer of the tier below. `directory.rs` draws the
//! layout and says why nothing is synced.

mod counts;
mod directory;
mod file_name;
mod fills;
mod health;
mod keeper;
mod options;
mod quarantine;
mod state;

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;

use crate::flights::{Answer, Flights};
use crate::policy::residents::Key;
use crate::size::Size;
use crate::trace;
use crate::{Level, Served, Tier, TierError, Wanted};

pub use counts::DiskCounts;
use fills::Offer;
pub use options::DiskOptions;
use state::{DiskState, LookUp};

/// What file systems hand out, in bytes.
const PAGE_BYTES: u64 = 4096;
/// How long a tier that is dropped waits for its last write. A write to a disk that hangs is left behind.
const FAREWELL: Duration = Duration::from_secs(1);

/// A tier that keeps chunks on disk.
#[derive(Debug)]
pub struct Disk {
    below: Arc<dyn Tier>,
    flights: Arc<Flights>,
    state: Arc<DiskState>,
    keeper: Option<JoinHandle<()>>,
}

impl Disk {
    /// A disk tier over another. What is in the directory from before is found again, in the background.
    ///
    /// If the directory cannot be used, because another process has it or because it cannot be made or
    /// written, the tier asks below: [`Disk::bypass_reason`] and the log say why, and the directory is tried
    /// again every [`DiskOptions::retry_after`].
    pub fn new(below: Arc<dyn Tier>, options: DiskOptions) -> Self {
        let state = Arc::new(DiskState::new(options));
        keeper::attach(&state);
        let kept = Arc::clone(&state);
        let keeper =
            std::thread::Builder::new().name("frazil-disk".to_owned()).spawn(move || keeper::run(&kept));
        // Without a thread no fill is ever written; reads go on.
        Self { below, flights: Arc::default(), state, keeper: keeper.ok() }
    }

    /// Why the directory is not used now; none while it is.
    pub fn bypass_reason(&self) -> Option<String> {
        self.state.why_not.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it has this chunk now. One look at a directory, and no read.
    pub fn has(&self, wanted: &Wanted) -> bool {
        let key = Key::from(wanted);
        self.state.fills.contains(&key)
            || self.state.directory().is_some_and(|directory| directory.has(&file_name::chunk_file(&key)))
    }

    /// What happened so far, and how much is kept now.
    pub fn counts(&self) -> DiskCounts {
        self.state.counts()
    }

    /// Waits until the index is complete and nothing waits to be written; false if that takes longer than `patience`.
    pub async fn settle(&self, patience: Duration) -> bool {
        let state = Arc::clone(&self.state);
        tokio::task::spawn_blocking(move || state.fills.settle(patience)).await.unwrap_or(false)
    }
}

/// What a file of `len` bytes takes from the quota.
fn weight_of(len: u64) -> u64 {
    len.checked_next_multiple_of(PAGE_BYTES).unwrap_or(u64::MAX)
}

#[async_trait]
impl Tier for Disk {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let fetch = || {
            let (state, below, wanted) = (Arc::clone(&self.state), Arc::clone(&self.below), *wanted);
            async move { answer(&state, below.as_ref(), &wanted).await }
        };
        let flight = self.flights.join(wanted, || self.to_string(), || None, fetch);
        let served = trace::tier_get("disk", wanted, flight).await?;
        let (len, expected) = (served.chunk.len() as u64, u64::from(wanted.sealed_len));
        if len != expected {
            return Err(TierError::WrongLength { id: wanted.id, tier: self.to_string(), len, expected });
        }
        Ok(served)
    }
}

async fn answer(state: &Arc<DiskState>, below: &dyn Tier, wanted: &Wanted) -> Answer {
    let counters = &state.counters;
    match state.look_up(wanted).await {
        LookUp::Hit(chunk) => {
            counters.hits.add(1);
            return Ok(Served::by(Level::Disk, chunk));
        }
        LookUp::Bypass => {
            counters.bypassed.add(1);
            return below.get(wanted).await;
        }
        LookUp::Miss => counters.misses.add(1),
    }
    let served = below.get(wanted).await?;
    if state.fills.offer(Key::from(wanted), served.chunk.clone()) == Offer::Dropped {
        counters.dropped_fills.add(1);
    }
    Ok(served)
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DiskOptions { directory, quota_bytes, .. } = &self.state.options;
        write!(f, "disk({}, {}) → {}", directory.display(), Size(*quota_bytes), self.below)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.state.fills.close();
        if self.state.fills.settle(FAREWELL)
            && let Some(keeper) = self.keeper.take()
        {
            // The keeper has nothing left to do; if it panicked, that was printed.
            let _ = keeper.join();
        }
    }
}
