//! What a start taught, written down beside the manifest.
//!
//! Invariant: what others wrote meanwhile is kept; of several writers of one command the last wins.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use frazil_cache::Tier;
use frazil_cache::host::HostError;
use frazil_format::bounds::MAX_PROFILES;
use frazil_format::{Bundle, Chunk, FormatError, Profile, ProfileKey, Profiles};

use super::ProfilingOptions;
use super::build::{self, Workshop};
use super::handover::Remembered;
use super::learn::{is_worth_learning, learn};

/// How long writing may take, the waiting for the whole chunk table included.
pub(super) const WRITE_MAX: Duration = Duration::from_secs(60);

/// A start's lesson, and where it is kept.
pub(super) struct Lesson {
    pub(super) options: Arc<ProfilingOptions>,
    /// Where a bundle's chunks come from, if they are not remembered.
    pub(super) below: Arc<dyn Tier>,
}

impl Lesson {
    /// Writes down what the start taught, on top of what is there by now: the last of several writers wins.
    pub(super) async fn write(self, order: &[u32], known: Option<Profile>, remembered: Remembered) {
        let table = &self.options.table;
        if table.complete(WRITE_MAX).await.is_err() {
            return;
        }
        let table: Arc<[Chunk]> = table.first(table.len()).into();
        if !is_worth_learning(known.as_ref(), order, &table, dice()) {
            return;
        }
        if let Err(error) = self.learn_and_put(order, table, remembered).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "a profile is not kept");
        }
    }

    async fn learn_and_put(
        &self,
        order: &[u32],
        table: Arc<[Chunk]>,
        remembered: Remembered,
    ) -> Result<(), HostError> {
        let ProfilingOptions { label, of, key, shelf, .. } = &*self.options;
        let mut profiles =
            shelf.profiles(of).await?.and_then(|bytes| self.options.open(&bytes)).unwrap_or_default();
        let mut profile = learn(profiles.take(&label.id), label, order, &table, now_seconds());
        let mut useless = Vec::new();
        if let Some(chunks) = build::wanted(&profile, &table) {
            let (options, below) = (Arc::clone(&self.options), Arc::clone(&self.below));
            let workshop = Workshop { options, table: Arc::clone(&table), remembered, below };
            match workshop.make(chunks, now_seconds()).await {
                Ok(bundle) => useless.extend(profile.bundle.replace(bundle)),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(error, "a profile goes without a bundle");
                }
            }
        }
        profiles.put(profile);
        let bytes = seal(&mut profiles, key, table.len(), &mut useless);
        shelf.put_profiles(of, bytes.map_err(refused)?.into()).await?;
        for bundle in useless {
            // What stays is deleted with the manifest.
            let _ = shelf.delete_bundle(of, &bundle.id).await;
        }
        Ok(())
    }
}

/// The profiles as bytes; those that were not used for longest go, with their bundles, until the rest fit.
fn seal(
    profiles: &mut Profiles,
    key: &ProfileKey,
    chunk_count: usize,
    useless: &mut Vec<Bundle>,
) -> Result<Vec<u8>, FormatError> {
    loop {
        if profiles.0.len() as u64 <= MAX_PROFILES {
            match profiles.seal(key, chunk_count) {
                Err(FormatError::TooLong { .. }) if profiles.0.len() > 1 => {}
                sealed => return sealed,
            }
        }
        let oldest = profiles.0.iter().min_by_key(|profile| profile.recorded_seconds);
        let Some(oldest) = oldest.map(|profile| profile.label.id) else {
            return profiles.seal(key, chunk_count);
        };
        useless.extend(profiles.take(&oldest).and_then(|profile| profile.bundle));
    }
}

fn refused(error: FormatError) -> HostError {
    let class = frazil_cache::ErrorClass::Denied;
    HostError::LookUp { what: "a profile".to_owned(), class, source: Arc::new(error) }
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// Any number: the clock's fine digits are random enough to choose one start in a few.
fn dice() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_micros())
}
