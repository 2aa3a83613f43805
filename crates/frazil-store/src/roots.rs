//! A store's roots: where each is in its life, and how it gets on.
//!
//! ```text
//!             retire            expire             delete
//!  (new) active ────▶ retired ────────▶ expired ────────▶ deleted      its number is never used again
//!                        ▲                 │
//!                        └─────────────────┘ rescue
//! ```
//!
//! Invariant: a state is changed by compare-and-swap only, along these arrows; the record of a deleted root stays for
//! ever. Ages are told by the store's clock alone: by when it says that a record was written.

pub(crate) mod alarm;
pub(crate) mod watch;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use frazil_format::RootId;

use crate::objects::{Durability, Put, Swap};
use crate::record::{self, Found, RootRecord, as_text};
use crate::{RootState, Store, StoreError, layout, random};

/// The most roots that are looked at. A store grows a root every few weeks at the most.
pub(crate) const MAX_ROOTS: usize = 4096;

/// A root and where it is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct RootStatus {
    /// The root.
    #[serde(with = "as_text")]
    pub root: RootId,
    /// Where it is in its life.
    pub state: RootState,
    /// Since when: milliseconds since 1970, by the store's clock.
    pub since_ms: i64,
}

impl RootStatus {
    /// For how long it has been there at a time of the store's clock.
    pub fn age(&self, now: StoreTime) -> Duration {
        now.since(self.since_ms)
    }
}

/// Whose clock tells how old something in a store is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    /// The store's own, for whoever acts on an age. An object is written to learn its time.
    Store,
    /// This machine's, for whoever only looks. Nothing is written.
    Machine,
}

/// A time by the store's clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StoreTime(i64);

impl StoreTime {
    fn of_this_machine() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
    }

    pub(crate) const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// How long before this another time was; nothing if it is later.
    pub fn since_time(self, earlier: Self) -> Duration {
        self.since(earlier.0)
    }

    pub(crate) const fn ms(self) -> i64 {
        self.0
    }

    /// How long ago something was written; nothing if that is to come.
    pub(crate) fn since(self, written_ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(written_ms)).unwrap_or(0))
    }
}

impl Store {
    /// Every root, since when it is where it is in its life, in the order of their numbers.
    pub async fn root_statuses(&self) -> Result<Vec<RootStatus>, StoreError> {
        let directories = self.objects().directories(&layout::roots()).await?;
        let mut roots = Vec::new();
        for root in directories.iter().filter_map(layout::root_of).take(MAX_ROOTS) {
            if let Some(Found { record, written_ms, .. }) = self.find_root(root).await? {
                roots.push(RootStatus { root, state: record.state, since_ms: written_ms });
            }
        }
        roots.sort_by_key(|status| status.root);
        Ok(roots)
    }

    /// What time it is by a clock.
    pub async fn time(&self, clock: Clock) -> Result<StoreTime, StoreError> {
        match clock {
            Clock::Store => self.learn_time().await,
            Clock::Machine => Ok(StoreTime::of_this_machine()),
        }
    }

    async fn learn_time(&self) -> Result<StoreTime, StoreError> {
        let path = layout::clock();
        self.objects().put(&path, random::stamp()?.into(), Durability::AtOnce).await?;
        self.objects().written_ms(&path).await.map(StoreTime::from_ms)
    }

    /// Makes a new root, which takes new images from now on.
    pub async fn new_root(&self) -> Result<RootId, StoreError> {
        let directories = self.objects().directories(&layout::roots()).await?;
        let youngest = directories.iter().filter_map(layout::root_of).max();
        let mut number = youngest.map_or(0, RootId::number);
        // A listing may be late, and others may make roots too: a number is taken only if nobody ever had it.
        for _ in 0..MAX_ROOTS {
            number = number
                .checked_add(1)
                .ok_or_else(|| StoreError::damaged(&layout::roots(), "there are no root numbers left"))?;
            let root = RootId::from_number(number);
            let path = layout::root_state(root);
            let record = record::encode(&path, RootRecord { state: RootState::Active, revision: 0 })?;
            if self.objects().create(&path, record).await? == Put::New {
                tracing::info!(%root, "made a root");
                return Ok(root);
            }
        }
        Err(StoreError::Contended { path: layout::roots().to_string() })
    }

    /// Retires an active root: it is read only from now on, and what lives in it is to be copied to an active one.
    /// An expired root is rescued: it is retired again.
    pub async fn retire_root(&self, root: RootId) -> Result<(), StoreError> {
        let others = self.root_statuses().await?;
        let is_another = |status: &RootStatus| status.root != root && status.state == RootState::Active;
        if !others.iter().any(is_another) {
            return Err(StoreError::LastActiveRoot { root });
        }
        self.advance(root, &[RootState::Active, RootState::Expired], RootState::Retired).await
    }

    /// Moves a root along one arrow of its life.
    pub(crate) async fn advance(
        &self,
        root: RootId,
        from: &[RootState],
        to: RootState,
    ) -> Result<(), StoreError> {
        let path = layout::root_state(root);
        let found = self.find_root(root).await?;
        let Some(Found { record: RootRecord { state, revision }, version, .. }) = found else {
            return Err(StoreError::NoSuchRoot { root });
        };
        if !from.contains(&state) {
            return Err(StoreError::BadTransition { root, state, wanted: to });
        }
        let record = RootRecord { state: to, revision: revision.saturating_add(1) };
        match self.objects().swap(&path, Some(&version), record::encode(&path, record)?).await? {
            Swap::Done(_) => {
                tracing::info!(%root, from = %state, %to, "moved a root");
                Ok(())
            }
            // Somebody else moved it meanwhile: the caller has to look again whether it is still wanted.
            Swap::Conflict => Err(StoreError::Contended { path: path.to_string() }),
        }
    }

    pub(crate) async fn find_root(&self, root: RootId) -> Result<Option<Found<RootRecord>>, StoreError> {
        record::find(self.objects(), &layout::root_state(root)).await
    }
}
