//! How a name comes to stand for a manifest, so that it never stands for one in a root that is going away.
//!
//! Three steps: *claim* the name for the root (its old reference stays), look whether the root is *active*,
//! and *commit* by replacing exactly the claimed record. A collector that retires a root does it the other
//! way round: first the root's state, then all names, whose claims on the root it breaks. So either the
//! publisher sees that the root is not active, or the collector sees the claim, and a commit that comes late,
//! even by days, finds its claim gone. No clock is involved. docs/decisions/0013-roots-and-claims.md has the
//! argument.

use std::time::Duration;

use frazil_format::RootId;
use object_store::path::Path;

use crate::mutation::{self, Mutation};
use crate::objects::{Swap, Version};
use crate::record::{self, Found, NameRecord};
use crate::{Reference, RootState, Store, StoreError};

/// The most attempts at a publication that others get in the way of.
const MAX_ATTEMPTS: u32 = 40;

/// The longest pause between two attempts. Pauses grow up to it, and are random so that two publishers part.
const MAX_PAUSE_MS: u64 = 250;

/// What came of moving a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moved {
    /// The name stands for the new reference.
    Done,
    /// The name does not stand any more for what it was expected to.
    Elsewhere,
}

impl Store {
    /// Makes the name at this path stand for `to`, if it stands for `from`, or whatever it stands for if that
    /// is `None`. The manifest must be in the store.
    pub(crate) async fn point(
        &self,
        path: &Path,
        from: Option<Reference>,
        to: Reference,
    ) -> Result<Moved, StoreError> {
        for attempt in 0..MAX_ATTEMPTS {
            let found = record::find_any::<NameRecord>(self.objects(), path).await?;
            let (current, version) = match found {
                Some(Found { record, version, .. }) => (readable(record, path, from)?, Some(version)),
                None => (None, None),
            };
            if from.is_some() && current == Some(to) {
                return Ok(Moved::Done);
            }
            if from.is_some() && current != from {
                return Ok(Moved::Elsewhere);
            }
            if let Some(claimed) = self.claim(path, current, version.as_ref(), to.root).await?
                && self.commit(path, current, claimed, to).await?
            {
                self.lay_starter(path, &to).await;
                return Ok(Moved::Done);
            }
            pause(attempt).await?;
        }
        Err(StoreError::Contended { path: path.to_string() })
    }

    async fn claim(
        &self,
        path: &Path,
        current: Option<Reference>,
        version: Option<&Version>,
        root: RootId,
    ) -> Result<Option<Version>, StoreError> {
        let record = record::encode(path, NameRecord::new(current, Some(root))?)?;
        match self.objects().swap(path, version, record).await? {
            Swap::Done(claimed) => Ok(Some(claimed)),
            Swap::Conflict => Ok(None),
        }
    }

    async fn commit(
        &self,
        path: &Path,
        current: Option<Reference>,
        claimed: Version,
        to: Reference,
    ) -> Result<bool, StoreError> {
        let state = self.root_state(to.root).await?;
        if state != RootState::Active && !mutation::is(Mutation::NoFence) {
            // A claim that stays is broken by the collector; this one only saves it the work.
            let withdrawn = record::encode(path, NameRecord::new(current, None)?)?;
            let _ = self.objects().swap(path, Some(&claimed), withdrawn).await;
            return Err(StoreError::RootNotActive { root: to.root, state });
        }
        let record = record::encode(path, NameRecord::new(Some(to), None)?)?;
        Ok(matches!(self.objects().swap(path, Some(&claimed), record).await?, Swap::Done(_)))
    }

    /// Breaks a claim: whoever made it has to start again. Says whether the record was still that version.
    pub(crate) async fn break_claim(
        &self,
        path: &Path,
        reference: Option<Reference>,
        version: &Version,
    ) -> Result<bool, StoreError> {
        let record = record::encode(path, NameRecord::new(reference, None)?)?;
        Ok(matches!(self.objects().swap(path, Some(version), record).await?, Swap::Done(_)))
    }

    /// An error unless the root takes new things.
    pub(crate) async fn require_active(&self, root: RootId) -> Result<(), StoreError> {
        match self.root_state(root).await? {
            RootState::Active => Ok(()),
            state => Err(StoreError::RootNotActive { root, state }),
        }
    }
}

/// What a name stands for. A reference that cannot be read is no obstacle to a new one, but nothing to be moved.
fn readable(
    record: Result<NameRecord, StoreError>,
    path: &Path,
    from: Option<Reference>,
) -> Result<Option<Reference>, StoreError> {
    match record.and_then(|record| record.reference(path)) {
        Err(error @ StoreError::Damaged { .. }) if from.is_none() => {
            tracing::warn!(%path, %error, "replacing a reference that cannot be read");
            Ok(None)
        }
        read => read,
    }
}

async fn pause(attempt: u32) -> Result<(), StoreError> {
    let longest = 4_u64.saturating_mul(u64::from(attempt) + 1).min(MAX_PAUSE_MS);
    let drawn = u64::from(u16::from_le_bytes(crate::random::bytes::<2>()?));
    tokio::time::sleep(Duration::from_millis(1 + drawn % longest)).await;
    Ok(())
}
