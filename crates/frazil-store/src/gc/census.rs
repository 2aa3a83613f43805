//! A census: what every name of every tenant refers to, and claims to be about to refer to.
//!
//! Invariant: if a root was retired so long before a census that listings are up to date again, the census
//! has every name that refers to the root, or may yet come to. Whoever claims later sees that the root is
//! retired.

use frazil_format::RootId;
use futures::{StreamExt, stream};
use object_store::path::Path;

use crate::mutation::{self, Mutation};
use crate::objects::Version;
use crate::record::{self, Found, NameRecord};
use crate::roots::{Clock, StoreTime};
use crate::{ImageName, Reference, Store, StoreError, layout};

/// References that are read at once.
const CONCURRENT_READS: usize = 32;

/// The most attempts to break one claim while its record changes.
const MAX_ATTEMPTS: u32 = 16;

/// One name.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(super) path: Path,
    pub(crate) tenant: String,
    pub(crate) name: ImageName,
    pub(crate) reference: Option<Reference>,
    pub(super) claim: Option<RootId>,
    version: Version,
}

impl Entry {
    pub(super) fn refers_to(&self, root: RootId) -> bool {
        self.reference.is_some_and(|reference| reference.root == root)
    }

    fn claims_any(&self, roots: &[RootId]) -> bool {
        self.claim.is_some_and(|claim| roots.contains(&claim))
    }

    /// The name with its tenant, for people.
    pub(super) fn title(&self) -> String {
        format!("{} of tenant {}", self.name, self.tenant)
    }
}

/// All names.
#[derive(Debug)]
pub(crate) struct Census {
    /// When it began.
    pub(super) taken: StoreTime,
    /// In the order of their paths.
    pub(crate) entries: Vec<Entry>,
    /// Records that cannot be understood. They may refer to anything, so while there is one no root expires.
    pub(crate) damaged: Vec<String>,
}

impl Census {
    pub(super) async fn take(store: &Store, clock: Clock) -> Result<Self, StoreError> {
        Self::read(store, store.time(clock).await?).await
    }

    /// A census at no particular time: it proves nothing about roots, and writes nothing.
    pub(crate) async fn untimed(store: &Store) -> Result<Self, StoreError> {
        Self::read(store, StoreTime::from_ms(0)).await
    }

    async fn read(store: &Store, taken: StoreTime) -> Result<Self, StoreError> {
        let mut paths: Vec<Path> =
            store.objects().all_below(&layout::all_names(), |listed| Some(listed.path)).await?;
        paths.sort();
        let reads = paths.into_iter().filter_map(|path| {
            let (tenant, name) = layout::owner_of(&path)?;
            Some(read(store, path, tenant, name))
        });
        let mut census = Self { taken, entries: Vec::new(), damaged: Vec::new() };
        let mut reads = stream::iter(reads).buffered(CONCURRENT_READS);
        while let Some(read) = reads.next().await {
            match read {
                Ok(Some(entry)) => census.entries.push(entry),
                Ok(None) => {}
                Err(error @ (StoreError::Damaged { .. } | StoreError::UnknownFormat { .. })) => {
                    census.damaged.push(error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(census)
    }

    /// Breaks every claim on one of these roots, none of which is active, and records the outcome of
    /// publications that were faster.
    pub(super) async fn break_claims(&mut self, store: &Store, roots: &[RootId]) -> Result<(), StoreError> {
        if mutation::is(Mutation::ClaimsStay) {
            self.forget_claims(roots);
            return Ok(());
        }
        for entry in &mut self.entries {
            for _ in 0..MAX_ATTEMPTS {
                if !entry.claims_any(roots) {
                    break;
                }
                if store.break_claim(&entry.path, entry.reference, &entry.version).await? {
                    tracing::info!(path = %entry.path, "broke a claim");
                }
                let (path, tenant, name) = (entry.path.clone(), entry.tenant.clone(), entry.name.clone());
                match read(store, path, tenant, name).await? {
                    Some(now) => *entry = now,
                    None => (entry.reference, entry.claim) = (None, None),
                }
            }
        }
        Ok(())
    }

    /// As if the claims on these roots had been broken.
    pub(super) fn forget_claims(&mut self, roots: &[RootId]) {
        for entry in self.entries.iter_mut().filter(|entry| entry.claims_any(roots)) {
            entry.claim = None;
        }
    }

    /// How many names refer to a root or claim it, and one of them.
    pub(super) fn users(&self, root: RootId) -> Option<(usize, String)> {
        let mut users =
            self.entries.iter().filter(|entry| entry.refers_to(root) || entry.claims_any(&[root]));
        let first = users.next()?;
        Some((1 + users.count(), first.title()))
    }
}

async fn read(
    store: &Store,
    path: Path,
    tenant: String,
    name: ImageName,
) -> Result<Option<Entry>, StoreError> {
    // A name that goes away while it is counted is not there.
    let Some(Found { record, version, .. }) = record::find::<NameRecord>(store.objects(), &path).await?
    else {
        return Ok(None);
    };
    let (reference, claim) = (record.reference(&path)?, record.claim(&path)?);
    Ok(Some(Entry { path, tenant, name, reference, claim, version }))
}
