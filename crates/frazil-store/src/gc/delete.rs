//! Deletion: the only code of the house that deletes chunks.
//!
//! Invariant: before every batch it has looked at the alarm and at the root's state; so an alarm stops it within one
//! batch, and nothing but a *deleted* root is ever touched. Chunks go first: as long as anything is there, the manifests
//! tell what was lost. The root's own record stays, so that its number is never used again.

use std::collections::HashMap;
use std::time::Duration;

use frazil_format::{ChunkId, RootId, SealedManifest};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

use super::journal::{self, DeletionJournal};
use super::policy::Policy;
use super::report::{Deletion, ImageBytes};
use crate::images::MAX_MANIFEST_BYTES;
use crate::mutation::{self, Mutation};
use crate::objects::Listed;
use crate::roots::Clock;
use crate::{RootState, Store, StoreError, layout};

/// Objects that are deleted between two looks at the alarm.
const BATCH: usize = if cfg!(test) { 4 } else { 256 };

/// Manifests that are read at once for a plan.
const CONCURRENT_MANIFESTS: usize = 16;

const JOURNAL: &str = "deletions";

/// What a deletion of the root would delete, image by image.
pub(super) async fn plan(store: &Store, root: RootId) -> Result<Deletion, StoreError> {
    let mut plan = Deletion { root, images: Vec::new(), objects: 0, bytes: 0, unreferenced_bytes: 0 };
    let mut chunks = HashMap::<ChunkId, u64>::new();
    let mut manifests = Vec::new();
    let mut listing = store.objects().below(&layout::in_root(root));
    while let Some(listed) = next(&mut listing).await? {
        if listed.path == layout::root_state(root) {
            continue;
        }
        plan.objects = plan.objects.saturating_add(1);
        plan.bytes = plan.bytes.saturating_add(listed.len);
        if listed.path.prefix_matches(&layout::chunks(root)) {
            chunks.extend(layout::id_of::<ChunkId>(&listed.path).map(|id| (id, listed.len)));
        } else if listed.path.prefix_matches(&layout::manifests(root)) {
            manifests.push(listed.path);
        }
    }
    manifests.sort();
    let mut reads =
        stream::iter(manifests.into_iter().map(|path| read(store, path))).buffered(CONCURRENT_MANIFESTS);
    let mut images = Vec::new();
    while let Some(manifest) = reads.try_next().await? {
        images.extend(manifest);
    }
    images.sort_by(|a, b| {
        let key = |manifest: &SealedManifest| {
            (manifest.geometry().tenant.clone(), manifest.geometry().name.clone(), manifest.id())
        };
        key(a).cmp(&key(b))
    });
    let mut own = chunks.clone();
    for manifest in images {
        let mut image = ImageBytes {
            tenant: manifest.geometry().tenant.clone(),
            name: manifest.geometry().name.clone(),
            manifest: manifest.id().to_string(),
            bytes: 0,
            own_bytes: 0,
            broken: None,
        };
        let mut seen = std::collections::HashSet::new();
        for chunk in manifest.chunks().iter().filter(|chunk| seen.insert(chunk.id)) {
            image.bytes = image.bytes.saturating_add(chunks.get(&chunk.id).copied().unwrap_or(0));
            image.own_bytes = image.own_bytes.saturating_add(own.remove(&chunk.id).unwrap_or(0));
        }
        plan.images.push(image);
    }
    plan.unreferenced_bytes = own.values().fold(0, |sum, len| sum.saturating_add(*len));
    Ok(plan)
}

async fn read(store: &Store, path: Path) -> Result<Option<SealedManifest>, StoreError> {
    match store.objects().read(&path, MAX_MANIFEST_BYTES).await {
        Ok(bytes) => Ok(SealedManifest::parse(bytes).ok()),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes everything of a deleted root, or goes on with that; says what this call deleted.
pub(super) async fn sweep(store: &Store, root: RootId, policy: &Policy) -> Result<Deletion, StoreError> {
    let mut done = Deletion { root, images: Vec::new(), objects: 0, bytes: 0, unreferenced_bytes: 0 };
    let mut journal: DeletionJournal = journal::read(store, JOURNAL, root).await?;
    for directory in [layout::chunks(root), layout::in_root(root)] {
        let mut listing = store.objects().below(&directory);
        let mut batch = Vec::new();
        loop {
            let next = next(&mut listing).await?;
            let is_last = next.is_none();
            batch.extend(next.filter(|listed| listed.path != layout::root_state(root)));
            if !batch.is_empty() && (is_last || batch.len() >= BATCH) {
                delete_batch(store, root, policy, std::mem::take(&mut batch), &mut done, &mut journal)
                    .await?;
            }
            if is_last {
                break;
            }
        }
    }
    if let Some(leftovers) = &store.objects().leftovers {
        for directory in layout::directories_of(root) {
            leftovers.clear(&directory).await;
        }
    }
    if done.objects > 0 || !journal.complete {
        journal.complete = true;
        journal::write(store, JOURNAL, root, journal).await?;
    }
    Ok(done)
}

async fn delete_batch(
    store: &Store,
    root: RootId,
    policy: &Policy,
    batch: Vec<Listed>,
    done: &mut Deletion,
    journal: &mut DeletionJournal,
) -> Result<(), StoreError> {
    if !mutation::is(Mutation::NoAlarm) {
        store.require_quiet(policy.quiet, Clock::Store).await?;
    }
    match store.root_state(root).await? {
        RootState::Deleted => {}
        state => return Err(StoreError::BadTransition { root, state, wanted: RootState::Deleted }),
    }
    let objects = batch.len() as u64;
    let bytes = batch.iter().fold(0_u64, |sum, listed| sum.saturating_add(listed.len));
    store.objects().delete_all(batch.into_iter().map(|listed| listed.path).collect()).await?;
    done.objects = done.objects.saturating_add(objects);
    done.bytes = done.bytes.saturating_add(bytes);
    *journal = DeletionJournal {
        objects: journal.objects.saturating_add(objects),
        bytes: journal.bytes.saturating_add(bytes),
        complete: false,
    };
    journal::write(store, JOURNAL, root, *journal).await?;
    let seconds = objects as f64 / f64::from(policy.deletions_per_second.max(1));
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    Ok(())
}

type Listing = futures::stream::BoxStream<'static, Result<Listed, StoreError>>;

/// The next object; also none if the directory is not there.
async fn next(listing: &mut Listing) -> Result<Option<Listed>, StoreError> {
    match listing.next().await {
        None | Some(Err(StoreError::NotFound { .. })) => Ok(None),
        Some(listed) => listed.map(Some),
    }
}

/// Whether a root has nothing left but its record, and no deletion was cut short: no listing shows what that
/// leaves.
pub(super) async fn is_swept(store: &Store, root: RootId) -> Result<bool, StoreError> {
    let mut listing = store.objects().below(&layout::in_root(root));
    while let Some(listed) = next(&mut listing).await? {
        if listed.path != layout::root_state(root) {
            return Ok(false);
        }
    }
    let journal: DeletionJournal = journal::read(store, JOURNAL, root).await?;
    Ok(journal.complete)
}
