//! Scrubbing: every chunk of a root is read and held against its id, without any key.
//!
//! Invariant: a chunk that is reported as damaged was read and is not what its id names; one that is missing is named by
//! a manifest that a name refers to. Reads keep to a rate. A scrub that was killed goes on with the directory that it
//! was in: chunks lie in 256 of them, and a journal says which are done. It raises no alarm: it reads as the operator.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use frazil_format::{ChunkId, LayerIndex, MAX_SEALED_LEN, RootId, SealedChunk, SealedManifest};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::gc::census::Census;
use crate::gc::{journal, migrate};
use crate::images::{MAX_LAYER_INDEX_BYTES, MAX_MANIFEST_BYTES};
use crate::objects::Listed;
use crate::record::as_text;
use crate::room::Room;
use crate::{ErrorClass, RootState, Store, StoreError, layout};

/// Chunks that are read at once.
const CONCURRENT_READS: usize = 4;

/// Manifests and layer indexes that are read at once.
const CONCURRENT_RECORDS: usize = 8;

/// The directories that a root's chunks lie in.
const DIRECTORIES: u16 = 256;

/// The most damaged chunks that a journal keeps. Beyond that the journal is not moved on, and a scrub that
/// goes on from it finds the rest again.
const MAX_KEPT: usize = 512;

const JOURNAL: &str = "scrubs";

/// How a root is scrubbed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScrubOptions {
    /// The most bytes that are read in a second.
    pub bytes_per_second: u64,
}

impl Default for ScrubOptions {
    /// 64 MiB a second: a terabyte in five hours, and a quarter of what a disk or a small instance's network gives.
    fn default() -> Self {
        Self { bytes_per_second: 64 << 20 }
    }
}

/// What scrubbing a root came to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Scrub {
    /// The root.
    #[serde(with = "as_text")]
    pub root: RootId,
    /// Chunks that were read, including those read by the scrubs that this one continues.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Chunks that are not what their ids name, and what is wrong with them.
    pub damaged: Vec<Fault>,
    /// Manifests and layer indexes that are damaged, and what is wrong with them.
    pub damaged_records: Vec<Fault>,
    /// The images that cannot be read whole.
    pub broken: Vec<BrokenImage>,
}

/// Something that is not as it should be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Fault {
    /// A chunk's id, or a path in the store.
    pub what: String,
    /// What is wrong with it.
    pub reason: String,
}

/// An image that cannot be read whole.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct BrokenImage {
    /// The tenant that it belongs to.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// Its manifest.
    pub manifest: String,
    /// Its chunks that are damaged.
    pub damaged: Vec<String>,
    /// Its chunks that are missing.
    pub missing: Vec<String>,
    /// What is wrong with the manifest itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_fault: Option<String>,
}

impl Scrub {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.damaged_records.is_empty() && self.broken.is_empty()
    }

    /// The ids of the damaged chunks.
    pub fn damaged_chunks(&self) -> impl Iterator<Item = ChunkId> {
        self.damaged.iter().filter_map(|fault| fault.what.parse().ok())
    }
}

/// `gc/scrubs/<root>.json`.
#[derive(Default, Serialize, Deserialize, Debug)]
struct ScrubJournal {
    /// The directories that are done, from 0.
    directories: u16,
    chunks: u64,
    bytes: u64,
    damaged: Vec<String>,
}

/// Scrubs a root, or goes on with it.
///
/// # Errors
/// Those of the store; what is wrong with chunks is no error.
pub async fn scrub(store: &Store, root: RootId, options: &ScrubOptions) -> Result<Scrub, StoreError> {
    let mut done: ScrubJournal = journal::read(store, JOURNAL, root).await?;
    let mut pace =
        Pace { bytes_per_second: options.bytes_per_second.max(1), started: Instant::now(), bytes: 0 };
    let first = done.directories.min(DIRECTORIES);
    let mut damaged = BTreeMap::new();
    for id in done.damaged.iter().filter_map(|id| id.parse::<ChunkId>().ok()) {
        // Found by the scrub that this one continues; it may be mended by now.
        damaged.extend(check(store, root, &id).await?.err().map(|reason| (id, reason)));
    }
    for directory in first..DIRECTORIES {
        scrub_directory(store, root, directory, &mut done, &mut damaged, &mut pace).await?;
        if damaged.len() <= MAX_KEPT {
            done.directories = directory.saturating_add(1);
            done.damaged = damaged.keys().map(ToString::to_string).collect();
            keep(store, root, &done).await?;
        }
    }
    let damaged_records = damaged_records(store, root).await?;
    let broken = broken_images(store, root, &damaged.keys().copied().collect()).await?;
    // The next scrub begins anew.
    keep(store, root, &ScrubJournal::default()).await?;
    let fault = |(id, reason): (ChunkId, String)| Fault { what: id.to_string(), reason };
    Ok(Scrub {
        root,
        chunks: done.chunks,
        bytes: done.bytes,
        damaged: damaged.into_iter().map(fault).collect(),
        damaged_records,
        broken,
    })
}

/// The roots that a scrub looks at: all that are not deleted.
///
/// # Errors
/// Those of the store.
pub async fn roots(store: &Store) -> Result<Vec<RootId>, StoreError> {
    let statuses = store.root_statuses().await?;
    Ok(statuses
        .into_iter()
        .filter(|status| status.state != RootState::Deleted)
        .map(|status| status.root)
        .collect())
}

/// The chunks among these that still are not what their ids name, or are gone.
///
/// # Errors
/// Those of the store.
pub async fn check_again(
    store: &Store,
    root: RootId,
    chunks: impl IntoIterator<Item = ChunkId>,
) -> Result<HashSet<ChunkId>, StoreError> {
    let checks = chunks
        .into_iter()
        .map(|id| async move { Ok::<_, StoreError>(check(store, root, &id).await?.err().map(|_| id)) });
    stream::iter(checks)
        .buffer_unordered(CONCURRENT_READS)
        .try_filter_map(|faulty| async move { Ok(faulty) })
        .try_collect()
        .await
}

async fn scrub_directory(
    store: &Store,
    root: RootId,
    directory: u16,
    done: &mut ScrubJournal,
    damaged: &mut BTreeMap<ChunkId, String>,
    pace: &mut Pace,
) -> Result<(), StoreError> {
    let path = layout::chunk_directory(root, directory);
    let chunk = |listed: Listed| Some((layout::id_of(&listed.path)?, listed.len));
    let mut chunks: Vec<(ChunkId, u64)> = store.objects().all_below(&path, chunk).await?;
    chunks.sort_unstable();
    let checks =
        chunks.into_iter().map(|(id, len)| async move { Ok((id, len, check(store, root, &id).await?)) });
    let mut checks = stream::iter(checks).buffered(CONCURRENT_READS);
    while let Some((id, len, checked)) = checks.try_next().await? {
        done.chunks = done.chunks.saturating_add(1);
        done.bytes = done.bytes.saturating_add(len);
        if let Err(reason) = checked {
            tracing::error!(%root, chunk = %id, reason, "a chunk is damaged");
            damaged.insert(id, reason);
        }
        pace.read(len).await;
    }
    Ok(())
}

/// What is wrong with a chunk, if anything is.
async fn check(store: &Store, root: RootId, id: &ChunkId) -> Result<Result<(), String>, StoreError> {
    let read = store.objects().read(&layout::chunk(root, id), MAX_SEALED_LEN.into()).await;
    match read {
        Ok(bytes) => Ok(SealedChunk::verify(id, bytes).map(drop).map_err(|error| error.to_string())),
        Err(error) if error.is_damage() => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

/// The manifests and layer indexes of a root that are damaged.
///
/// # Errors
/// Those of the store.
pub async fn damaged_records(store: &Store, root: RootId) -> Result<Vec<Fault>, StoreError> {
    let objects = store.objects();
    let mut all: Vec<(Listed, bool)> =
        objects.all_below(&layout::manifests(root), |listed| Some((listed, true))).await?;
    let indexes: Vec<_> =
        objects.all_below(&layout::layer_indexes(root), |listed| Some((listed, false))).await?;
    all.extend(indexes);
    let room = &Room::new();
    let checks = all.into_iter().map(|(Listed { path, len }, is_manifest)| async move {
        let _room = room.of(len).await;
        let limit = if is_manifest { MAX_MANIFEST_BYTES } else { MAX_LAYER_INDEX_BYTES };
        let sound = match store.objects().read(&path, limit).await {
            Ok(bytes) if is_manifest => match layout::id_of(&path) {
                Some(id) => SealedManifest::verify(&id, bytes).map(drop).map_err(|error| error.to_string()),
                None => Ok(()),
            },
            Ok(bytes) => LayerIndex::chunk_ids(&bytes).map(drop).map_err(|error| error.to_string()),
            Err(error) if error.is_damage() => Err(error.to_string()),
            Err(error) => return Err(error),
        };
        Ok(sound.err().map(|reason| Fault { what: path.to_string(), reason }))
    });
    let mut faults: Vec<Fault> = stream::iter(checks)
        .buffer_unordered(CONCURRENT_RECORDS)
        .try_filter_map(|fault| async move { Ok(fault) })
        .try_collect()
        .await?;
    faults.sort();
    Ok(faults)
}

/// The images of a root that need a damaged chunk, or one that is not there.
///
/// # Errors
/// Those of the store.
pub async fn broken_images(
    store: &Store,
    root: RootId,
    damaged: &HashSet<ChunkId>,
) -> Result<Vec<BrokenImage>, StoreError> {
    let census = Census::untimed(store).await?;
    let present = migrate::chunks_of(store, root).await?;
    let present = &present;
    let of_root = census.entries.into_iter().filter_map(|entry| {
        let reference = entry.reference.filter(|reference| reference.root == root)?;
        Some((entry.tenant, entry.name, reference))
    });
    let checks = of_root.map(|(tenant, name, reference)| async move {
        let mut image = BrokenImage {
            tenant,
            name: name.to_string(),
            manifest: reference.manifest.to_string(),
            damaged: Vec::new(),
            missing: Vec::new(),
            manifest_fault: None,
        };
        match store.objects().read(&layout::manifest(root, &reference.manifest), MAX_MANIFEST_BYTES).await {
            Err(error) if error.is_damage() => image.manifest_fault = Some(error.to_string()),
            Err(error) => return Err(error),
            Ok(bytes) => match SealedManifest::verify(&reference.manifest, bytes) {
                Err(error) => image.manifest_fault = Some(error.to_string()),
                Ok(manifest) => {
                    let chunks: HashSet<ChunkId> = manifest.chunks().iter().map(|chunk| chunk.id).collect();
                    for id in chunks {
                        if damaged.contains(&id) {
                            image.damaged.push(id.to_string());
                        } else if !present.contains_key(&id) {
                            image.missing.push(id.to_string());
                        }
                    }
                }
            },
        }
        image.damaged.sort();
        image.missing.sort();
        let is_broken =
            image.manifest_fault.is_some() || !image.damaged.is_empty() || !image.missing.is_empty();
        Ok(is_broken.then_some(image))
    });
    stream::iter(checks)
        .buffered(CONCURRENT_RECORDS)
        .try_filter_map(|broken| async move { Ok(broken) })
        .try_collect()
        .await
}

async fn keep(store: &Store, root: RootId, done: &ScrubJournal) -> Result<(), StoreError> {
    match journal::write(store, JOURNAL, root, done).await {
        // Without permission to write one can scrub too, but not go on later.
        Err(error) if error.class() == ErrorClass::Denied => {
            tracing::debug!(%error, "the scrub keeps no journal");
            Ok(())
        }
        written => written,
    }
}

/// Keeps reads to a rate.
struct Pace {
    bytes_per_second: u64,
    started: Instant,
    bytes: u64,
}

impl Pace {
    async fn read(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        let due = Duration::from_secs_f64(self.bytes as f64 / self.bytes_per_second as f64);
        tokio::time::sleep_until(self.started + due).await;
    }
}
