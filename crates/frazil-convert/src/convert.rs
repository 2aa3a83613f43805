//! The conversion, from top to bottom. Each step hides its details; their order is what makes it safe.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use bytes::Bytes;
use frazil_format::{DiffId, Entry, LayerIndex};
use frazil_store::{ImageName, Store};
use tokio::runtime::Handle;

use crate::ingest::{ChunkPutter, Ingest, Ingested, Limits, SealPool};
use crate::keys::Sealings;
use crate::known::LayerIndexes;
use crate::metadata::{self, FlatLayer};
use crate::progress::{LayerProgress, Phase, Progress};
use crate::publish::{Draft, publish};
use crate::source::{LayerDescriptor, Source};
use crate::summary::{Conversion, Warnings};
use crate::{ConvertError, ConvertOptions, Keys, standing};

/// The most roots that one conversion is tried in: roots are retired every few weeks.
const MAX_ROOTS_TRIED: usize = 3;

/// Converts an image and publishes it under a name of the tenant.
///
/// Dropping the future gives the conversion up: what it has written stays in the store, unnamed, and the next
/// conversion finds it there. Must run in a multi-threaded tokio runtime.
///
/// # Errors
/// Whatever is wrong with source, layers or store; nothing has become visible then.
pub async fn convert(
    source: &dyn Source,
    name: &ImageName,
    store: &Store,
    keys: Keys<'_>,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<Conversion, ConvertError> {
    for _ in 1..MAX_ROOTS_TRIED {
        match convert_once(source, name, store, keys, options, progress).await {
            // What was written there is garbage; the keys of all chunks derive from the root.
            Err(error) if error.is_retired_root() => {
                tracing::warn!(%error, "the root was retired meanwhile: converting into the active one");
            }
            ended => return ended,
        }
    }
    convert_once(source, name, store, keys, options, progress).await
}

/// The conversion, into the root that is active now.
async fn convert_once(
    source: &dyn Source,
    name: &ImageName,
    store: &Store,
    keys: Keys<'_>,
    options: &ConvertOptions,
    progress: &dyn Progress,
) -> Result<Conversion, ConvertError> {
    let started = Instant::now();

    // Resolve: the image's manifest and config, none of its layers.
    let image = source.resolve(&options.platform).await?;
    let root = store.active_root().await?;
    let stands = standing::look_up(store, name, &keys).await?;
    progress.layers(&image.layers.iter().map(layer_progress).collect::<Vec<_>>());

    // The scope of each layer: shared for public base layers, the tenant's own for all else.
    let sealings = Sealings::decide(store, root, &keys, options, &image.layers).await?;

    // Known layers: their indexes, from the store.
    let (secret, cut) = (&keys.own.secret, options.cut);
    let distrusted = &options.distrusted;
    let indexes = LayerIndexes { store, root, secret, cut, sealings: &sealings, distrusted };
    let limits = Arc::new(Limits::new(options.max_image_bytes));
    let mut known = indexes.look_up(&image.layers, &limits).await?;

    // Unknown layers: from the source, decompressed, cut, sealed and put, several at once.
    let ingest = Ingest {
        source,
        progress,
        pool: SealPool::new(options.threads, Handle::current())?,
        sealings: &sealings,
        putter: ChunkPutter::new(store.clone(), root, Arc::clone(&options.distrusted)),
        cut,
        limits,
        source_bytes: AtomicU64::new(0),
    };
    let unknown = unknown(&image.layers, &known, progress);
    let layers_ingested = unknown.len();
    let keep = |ingested: Ingested| async {
        // A layer that has been ingested is never read again, whatever becomes of the others.
        indexes.keep(&ingested.index).await?;
        Ok(ingested)
    };
    let mut warnings = Warnings::default();
    for (diff_id, Ingested { index, warnings: more }) in ingest.layers(unknown, keep).await? {
        warnings.dropped_xattrs += more.dropped_xattrs;
        known.insert(diff_id, index);
    }

    charge_repeats(&image.layers, &known, &ingest.limits)?;

    // Flatten the layers into one tree, and write it as EROFS metadata.
    progress.phase(Phase::Flatten);
    let (layers, entries) = in_order(&image.layers, known)?;
    let area = tokio::task::spawn_blocking(move || metadata::build(entries));
    let area = area.await.map_err(|_| ConvertError::Stopped)??;

    // Cut, seal and put the metadata area.
    progress.phase(Phase::Metadata);
    let metadata_len = area.bytes.len() as u64;
    ingest.limits.stream.take(metadata_len)?;
    let bytes = Bytes::from(area.bytes);
    // The profiles of the image before are inherited by comparing both trees.
    let metadata = stands.as_ref().map(|_| bytes.clone()).unwrap_or_default();
    let metadata_chunks = ingest.stream(bytes).await?;

    // The durability barrier: nothing is named before all that it needs is safe.
    progress.phase(Phase::Publish);
    store.sync().await?;

    // The manifest, and then its name.
    let layer_count = layers.len();
    let draft = Draft { root, metadata_len, metadata_chunks, layers, config: image.config };
    let manifest = draft.into_manifest(name, keys.tenant, &sealings);
    let layers_public = manifest.geometry.layers.iter().filter(|layer| layer.scope != sealings.own().scope);
    let layers_public = layers_public.count();
    let published = publish(store, name, &manifest, stands, &metadata, keys).await?;

    Ok(Conversion {
        manifest: published.manifest,
        root,
        unchanged: published.unchanged,
        layers_reused: layer_count - layers_ingested,
        layers_ingested,
        layers_public,
        source_bytes: ingest.source_bytes.into_inner(),
        tar_bytes: ingest.limits.tar.used(),
        chunks_new: ingest.putter.new_chunks(),
        chunks_shared: ingest.putter.shared_chunks(),
        bytes_written: ingest.putter.bytes_written(),
        image_chunks: manifest.chunks.len() as u64,
        metadata_bytes: metadata_len,
        image_bytes: manifest.geometry.image_len,
        inodes: area.inodes,
        warnings,
        duration: started.elapsed(),
    })
}

fn layer_progress(layer: &LayerDescriptor) -> LayerProgress {
    LayerProgress { index: layer.index, diff_id: layer.diff_id, blob_bytes: layer.size }
}

/// The layers that have to be read, each once; the others are reported as reused.
fn unknown<'l>(
    layers: &'l [LayerDescriptor],
    known: &HashMap<DiffId, LayerIndex>,
    progress: &dyn Progress,
) -> Vec<&'l LayerDescriptor> {
    let mut seen = HashSet::new();
    let (unknown, reused): (Vec<_>, Vec<_>) =
        layers.iter().partition(|layer| !known.contains_key(&layer.diff_id) && seen.insert(layer.diff_id));
    for layer in reused {
        progress.layer_reused(layer.index);
    }
    unknown
}

/// A layer that an image has twice is held once, but is charged its room in the image, and its work, each
/// time.
fn charge_repeats(
    layers: &[LayerDescriptor],
    known: &HashMap<DiffId, LayerIndex>,
    limits: &Limits,
) -> Result<(), ConvertError> {
    let mut charged = HashSet::new();
    let repeated = layers.iter().filter(|layer| !charged.insert(layer.diff_id));
    repeated.filter_map(|layer| known.get(&layer.diff_id)).try_for_each(|index| {
        limits.stream.take(index.stream_len)?;
        limits.entries(&index.entries)
    })
}

type LayerEntries = (DiffId, u64, Arc<Vec<Entry>>);

/// The image's layers from the bottom up; one that it has twice is shared by both of its places.
fn in_order(
    layers: &[LayerDescriptor],
    known: HashMap<DiffId, LayerIndex>,
) -> Result<(Vec<FlatLayer>, Vec<LayerEntries>), ConvertError> {
    let share = |(diff_id, index): (DiffId, LayerIndex)| {
        let LayerIndex { stream_len, entries, chunks, .. } = index;
        (diff_id, (FlatLayer { diff_id, stream_len, chunks: Arc::new(chunks) }, Arc::new(entries)))
    };
    let shared: HashMap<_, _> = known.into_iter().map(share).collect();
    let (mut flat, mut entries_of) = (Vec::new(), Vec::new());
    for layer in layers {
        let (layer, entries) = shared.get(&layer.diff_id).ok_or(ConvertError::Stopped)?;
        flat.push(layer.clone());
        entries_of.push((layer.diff_id, layer.stream_len, Arc::clone(entries)));
    }
    Ok((flat, entries_of))
}
