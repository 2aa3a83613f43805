//! Migration: what names refer to in a retired root is copied to the active one, and then the names move.
//!
//! Invariant: chunks, then what stands beside the manifest, then the manifest, then the name; each durable before the
//! next. A manifest keeps its bytes and so its id: it says the root that it was *sealed* in, and only the reference says
//! where it lies. So no key is needed, and whoever has the old reference goes on reading in the old root.

use std::collections::{BTreeMap, HashMap, HashSet};

use frazil_format::{ChunkId, MAX_SEALED_LEN, ManifestId, RootId, SealedManifest};
use futures::{StreamExt, TryStreamExt, stream};

use super::carry::Companions;
use super::census::Entry;
use super::collect::Intent;
use super::report::{ImageBytes, Migration};
use crate::images::MAX_MANIFEST_BYTES;
use crate::mutation::{self, Mutation};
use crate::objects::{Durability, Listed};
use crate::publication::Moved;
use crate::{Reference, Store, StoreError, chunks, layout};

/// Images whose chunks are copied together, so that what they share is copied once.
const IMAGES_AT_ONCE: usize = 64;

/// Manifests that are read, or published, at once.
const CONCURRENT_IMAGES: usize = 16;

/// Chunks that are copied at once.
const CONCURRENT_CHUNKS: usize = 32;

/// The root that things are copied to, and what it has.
pub(super) struct Target {
    pub(super) root: RootId,
    /// The chunks and their sealed lengths in bytes.
    present: HashMap<ChunkId, u64>,
}

impl Target {
    /// Lists the root. Nothing is ever deleted in it, so the worst that a late listing does is that chunks
    /// are copied twice.
    pub(super) async fn list(store: &Store, root: RootId) -> Result<Self, StoreError> {
        let present = chunks_of(store, root).await?;
        Ok(Self { root, present })
    }

    /// A root that will be made: it has nothing.
    pub(super) fn empty(root: RootId) -> Self {
        Self { root, present: HashMap::new() }
    }

    pub(super) fn has(&self, id: &ChunkId, len: u64) -> bool {
        self.present.get(id) == Some(&len)
    }

    pub(super) fn has_any(&self, id: &ChunkId) -> bool {
        self.present.contains_key(id)
    }
}

/// The chunks that lie in a root, with their lengths.
pub(crate) async fn chunks_of(store: &Store, root: RootId) -> Result<HashMap<ChunkId, u64>, StoreError> {
    let chunk = |listed: Listed| Some((layout::id_of(&listed.path)?, listed.len));
    store.objects().all_below(&layout::chunks(root), chunk).await
}

/// One image on its way.
struct Traveller<'e> {
    entry: &'e mut Entry,
    from: Reference,
    manifest: Result<SealedManifest, String>,
}

/// Moves every name of these that refers to `from`.
pub(super) async fn migrate(
    store: &Store,
    from: RootId,
    target: &mut Target,
    entries: &mut [Entry],
    intent: Intent,
) -> Result<Migration, StoreError> {
    let mut migration =
        Migration { from, to: target.root, images: Vec::new(), layer_indexes: 0, chunks: 0, bytes: 0 };
    let mut movers: Vec<&mut Entry> = entries.iter_mut().filter(|entry| entry.refers_to(from)).collect();
    if movers.is_empty() {
        return Ok(migration);
    }
    let companions = match intent {
        Intent::Plan => Companions::default(),
        Intent::Run => Companions::list(store, from, target.root).await?,
    };
    for group in movers.chunks_mut(IMAGES_AT_ONCE) {
        migrate_group(store, target, group, &companions, &mut migration, intent).await?;
    }
    Ok(migration)
}

async fn migrate_group(
    store: &Store,
    target: &mut Target,
    group: &mut [&mut Entry],
    companions: &Companions,
    migration: &mut Migration,
    intent: Intent,
) -> Result<(), StoreError> {
    let reads = group.iter_mut().filter_map(|entry| {
        let from = entry.reference?;
        Some(async move {
            let manifest = manifest(store, from).await?;
            Ok::<_, StoreError>(Traveller { entry, from, manifest })
        })
    });
    let mut travellers: Vec<Traveller<'_>> =
        stream::iter(reads).buffered(CONCURRENT_IMAGES).try_collect().await?;

    let mut wanted = BTreeMap::new();
    for traveller in &travellers {
        migration.images.push(account(traveller, target, &mut wanted));
    }
    migration.chunks = migration.chunks.saturating_add(wanted.len() as u64);
    migration.bytes = wanted.values().fold(migration.bytes, |sum, len| sum.saturating_add(*len));
    if intent == Intent::Plan {
        target.present.extend(wanted);
        for traveller in travellers.iter_mut().filter(|traveller| traveller.manifest.is_ok()) {
            traveller.entry.reference = None;
        }
        return Ok(());
    }

    if mutation::is(Mutation::ManifestFirst) {
        publish(store, target.root, &mut travellers, companions).await?;
    }
    let failed = copy_chunks(store, migration.from, target, wanted).await?;
    // The durability barrier: nothing is named before all that it needs is safe.
    store.sync().await?;
    let at = migration.images.len().saturating_sub(travellers.len());
    for (traveller, image) in travellers.iter_mut().zip(migration.images.iter_mut().skip(at)) {
        if let Ok(manifest) = &traveller.manifest
            && let Some(reason) = manifest.chunks().iter().find_map(|chunk| failed.get(&chunk.id))
        {
            traveller.manifest = Err(reason.clone());
        }
        image.broken = traveller.manifest.as_ref().err().cloned();
    }
    publish(store, target.root, &mut travellers, companions).await
}

/// The manifest that is referred to, or why there is none.
async fn manifest(store: &Store, reference: Reference) -> Result<Result<SealedManifest, String>, StoreError> {
    let path = layout::manifest(reference.root, &reference.manifest);
    match store.objects().read(&path, MAX_MANIFEST_BYTES).await {
        Ok(bytes) => {
            Ok(SealedManifest::verify(&reference.manifest, bytes).map_err(|error| format!("{path}: {error}")))
        }
        Err(error) if error.is_damage() => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

/// The image's line in the plan; adds the chunks that have to be copied for it.
fn account(traveller: &Traveller<'_>, target: &Target, wanted: &mut BTreeMap<ChunkId, u64>) -> ImageBytes {
    let (mut bytes, mut own_bytes) = (0_u64, 0_u64);
    let mut seen = HashSet::new();
    let chunks = traveller.manifest.as_ref().map(SealedManifest::chunks).unwrap_or_default();
    for chunk in chunks.iter().filter(|chunk| seen.insert(chunk.id)) {
        let len = u64::from(chunk.sealed_len);
        bytes = bytes.saturating_add(len);
        if !target.has(&chunk.id, len) && wanted.insert(chunk.id, len).is_none() {
            own_bytes = own_bytes.saturating_add(len);
        }
    }
    ImageBytes {
        tenant: traveller.entry.tenant.clone(),
        name: traveller.entry.name.to_string(),
        manifest: traveller.from.manifest.to_string(),
        bytes,
        own_bytes,
        broken: traveller.manifest.as_ref().err().cloned(),
    }
}

/// Copies chunks, each verified on its way; returns those that are missing or damaged, and what is wrong with
/// them.
async fn copy_chunks(
    store: &Store,
    from: RootId,
    target: &mut Target,
    wanted: BTreeMap<ChunkId, u64>,
) -> Result<HashMap<ChunkId, String>, StoreError> {
    let to = target.root;
    let copies = wanted.into_iter().map(|(id, len)| async move {
        match copy_chunk(store, from, to, &id).await {
            Ok(()) => Ok((id, len, None)),
            Err(error) if error.is_damage() => Ok((id, len, Some(error.to_string()))),
            Err(error) => Err(error),
        }
    });
    let mut copies = stream::iter(copies).buffer_unordered(CONCURRENT_CHUNKS);
    let mut failed = HashMap::new();
    while let Some((id, len, failure)) = copies.try_next().await? {
        match failure {
            None => drop(target.present.insert(id, len)),
            Some(reason) => drop(failed.insert(id, reason)),
        }
    }
    Ok(failed)
}

async fn copy_chunk(store: &Store, from: RootId, to: RootId, id: &ChunkId) -> Result<(), StoreError> {
    let read = store.objects().read(&layout::chunk(from, id), MAX_SEALED_LEN.into()).await;
    let chunk = chunks::verify(from, id, read)?;
    store.put_chunk(to, id, &chunk).await.map(drop)
}

/// Publishes the images whose chunks are there, several at once.
async fn publish(
    store: &Store,
    to: RootId,
    travellers: &mut [Traveller<'_>],
    companions: &Companions,
) -> Result<(), StoreError> {
    let moves = travellers.iter_mut().filter(|traveller| traveller.manifest.is_ok());
    stream::iter(moves.map(|traveller| publish_one(store, to, traveller, companions)))
        .buffer_unordered(CONCURRENT_IMAGES)
        .try_collect()
        .await
}

async fn publish_one(
    store: &Store,
    to: RootId,
    traveller: &mut Traveller<'_>,
    companions: &Companions,
) -> Result<(), StoreError> {
    let Ok(manifest) = &traveller.manifest else { return Ok(()) };
    let id: ManifestId = traveller.from.manifest;
    companions.copy(store, to, &id).await?;
    let bytes = manifest.bytes().clone();
    store.objects().put(&layout::manifest(to, &id), bytes, Durability::AtOnce).await?;
    let reference = Reference { root: to, manifest: id };
    match store.point(&traveller.entry.path, Some(traveller.from), reference).await? {
        Moved::Done => traveller.entry.reference = Some(reference),
        // It was published again or removed meanwhile, and cannot refer to a retired root by that.
        Moved::Elsewhere => traveller.entry.reference = None,
    }
    Ok(())
}
