//! What goes along with a migration: what stands beside manifests, and the layer indexes that are worth it.

use std::collections::{HashMap, HashSet};

use frazil_format::{LayerIndex, LayerIndexId, ManifestId, RootId};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

use super::collect::Intent;
use super::journal::{self, MigrationJournal};
use super::migrate::Target;
use crate::images::MAX_LAYER_INDEX_BYTES;
use crate::objects::{Durability, Listed};
use crate::room::Room;
use crate::{ErrorClass, Store, StoreError, layout};

/// Layer indexes that are looked at at once.
const CONCURRENT_INDEXES: usize = 8;

const JOURNAL: &str = "migrations";

/// Profiles and bundles of a root's manifests that another root does not have yet.
#[derive(Default)]
pub(super) struct Companions(HashMap<ManifestId, Vec<(Path, Path)>>);

impl Companions {
    pub(super) async fn list(store: &Store, from: RootId, to: RootId) -> Result<Self, StoreError> {
        let mut by_manifest = HashMap::<_, Vec<_>>::new();
        for kind in layout::COMPANIONS {
            let source = layout::companions(from, kind);
            let found: Vec<Listed> = store.objects().all_below(&source, Some).await?;
            if found.is_empty() {
                continue;
            }
            let target = layout::companions(to, kind);
            let there: HashSet<_> =
                store.objects().all_below(&target, |listed| Some((listed.path, listed.len))).await?;
            for Listed { path, len } in found {
                let Some((manifest, copy)) = place(&path, &source, &target) else { continue };
                if !there.contains(&(copy.clone(), len)) {
                    by_manifest.entry(manifest).or_default().push((path, copy));
                }
            }
        }
        Ok(Self(by_manifest))
    }

    /// Copies a manifest's profiles and bundles, as they are.
    pub(super) async fn copy(
        &self,
        store: &Store,
        to: RootId,
        manifest: &ManifestId,
    ) -> Result<(), StoreError> {
        for (source, copy) in self.0.get(manifest).into_iter().flatten() {
            match store.objects().copy(source, copy).await {
                Ok(()) => {}
                Err(error) if error.class() == ErrorClass::NotFound => {
                    tracing::debug!(%source, root = %to, "gone before it was copied");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The manifest that a path below `source` belongs to, and where it goes below `target`.
fn place(path: &Path, source: &Path, target: &Path) -> Option<(ManifestId, Path)> {
    let mut parts = path.prefix_match(source)?.peekable();
    let manifest = parts.peek()?.as_ref().parse().ok()?;
    Some((manifest, target.parts().chain(parts).collect()))
}

/// Copies the layer indexes of a root whose chunks are all in the target, once; says how many. With them the
/// next conversion of an image that has these layers finds them there.
pub(super) async fn layer_indexes(
    store: &Store,
    from: RootId,
    target: &Target,
    intent: Intent,
) -> Result<u64, StoreError> {
    let mut journal: MigrationJournal = journal::read(store, JOURNAL, from).await?;
    let to = target.root.to_string();
    if journal.layers_copied_to.contains(&to) {
        return Ok(0);
    }
    let directory = layout::layer_indexes(from);
    let indexes: Vec<Listed> = store.objects().all_below(&directory, Some).await?;
    let room = Room::new();
    let copies = indexes.into_iter().map(|Listed { path, len }| {
        let room = &room;
        async move {
            let _room = room.of(len).await;
            layer_index(store, path, target, intent).await
        }
    });
    let copied: Vec<bool> = stream::iter(copies).buffer_unordered(CONCURRENT_INDEXES).try_collect().await?;
    if intent == Intent::Run {
        journal.layers_copied_to.push(to);
        journal::write(store, JOURNAL, from, journal).await?;
    }
    Ok(copied.into_iter().filter(|copied| *copied).count() as u64)
}

async fn layer_index(store: &Store, path: Path, target: &Target, intent: Intent) -> Result<bool, StoreError> {
    let Some(id) = layout::id_of::<LayerIndexId>(&path) else { return Ok(false) };
    let bytes = match store.objects().read(&path, MAX_LAYER_INDEX_BYTES).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_damage() => return Ok(false),
        Err(error) => return Err(error),
    };
    // One that is damaged is not worth it.
    let is_whole = |chunks: Vec<_>| chunks.iter().all(|id| target.has_any(id));
    if !LayerIndex::chunk_ids(&bytes).is_ok_and(is_whole) {
        return Ok(false);
    }
    if intent == Intent::Run {
        store.sync().await?;
        store.objects().put(&layout::layer_index(target.root, &id), bytes, Durability::AtOnce).await?;
    }
    Ok(true)
}
