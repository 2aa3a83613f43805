//! What a name's new image inherits from the one before: its profiles, by content.
//!
//! Most chunks of a rebuilt image are the same chunks, at other places of the table. For those that are not, the
//! files that lay in them say where to look: by their paths, in both trees, in memory only. The metadata area moves
//! as a whole, so a chunk of it stands for the same part of the new one. Bundles are made anew of what is in the
//! store by then. So the first start after a deployment is as warm as the last one before. Nothing here can fail a
//! conversion.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use frazil_erofs::{FileType, WalkLimits};
use frazil_format::bounds::{MAX_BUNDLE_LEN, MAX_PROFILE_CHUNKS};
use frazil_format::{
    Bundle, BundleId, BundleSealer, Chunk, ChunkId, Manifest, Profile, ProfileKey, ProfiledChunk, Profiles,
    bundle_len, open_chunk,
};
use frazil_store::{Reference, Store};
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::ConvertError;
use crate::standing::Stands;

/// Chunks that are read at once for a bundle or a metadata area.
const READS: usize = 16;

/// The most chunks that stand for an old one: the small files of a chunk may have scattered.
const HEIRS_MAX: usize = 4;

/// The limits of every walk over a tree.
const LIMITS: WalkLimits = WalkLimits { depth: 4096, entries: 2_000_000 };

/// The new image, as it is about to be published.
pub(crate) struct Heir<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) reference: Reference,
    pub(crate) key: ProfileKey,
    /// The bytes of its metadata area.
    pub(crate) metadata: &'a [u8],
}

/// Puts the old image's profiles beside the new image's manifest, as far as they fit.
pub(crate) async fn inherit(store: &Store, old: &Stands, heir: &Heir<'_>) -> Result<(), ConvertError> {
    let Some(bytes) = store.profiles(old.reference.root, &old.reference.manifest).await? else {
        return Ok(());
    };
    let mut profiles = Profiles::open(&bytes, &old.key, old.manifest.chunks.len())?;
    let places = Places::find(store, old, heir, &profiles).await?;
    for profile in &mut profiles.0 {
        let had_bundle = profile.bundle.take().is_some();
        places.map(profile);
        if had_bundle {
            profile.bundle = bundle(store, heir, profile).await?;
        }
    }
    profiles.0.retain(|profile| !profile.chunks.is_empty());
    let sealed = profiles.seal(&heir.key, heir.manifest.chunks.len())?;
    let Reference { root, manifest } = &heir.reference;
    store.put_profiles(*root, manifest, sealed.into()).await?;
    tracing::info!(profiles = profiles.0.len(), "inherited what starts of the image before have read");
    Ok(())
}

/// Where the chunks of the old image are in the new one.
struct Places<'a> {
    old: &'a Manifest,
    new: &'a Manifest,
    by_id: HashMap<ChunkId, u32>,
    /// The old image's files by where they start, and the new one's by their paths; empty if nobody needs them.
    old_files: BTreeMap<u64, (Vec<u8>, Range<u64>)>,
    new_files: HashMap<Vec<u8>, Range<u64>>,
}

impl<'a> Places<'a> {
    async fn find(
        store: &Store,
        old: &'a Stands,
        heir: &Heir<'a>,
        profiles: &Profiles,
    ) -> Result<Self, ConvertError> {
        let (old_manifest, new) = (&old.manifest, heir.manifest);
        let by_id: HashMap<ChunkId, u32> =
            new.chunks.iter().zip(0..).map(|(chunk, index)| (chunk.id, index)).collect();
        let mut places =
            Self { old: old_manifest, new, by_id, old_files: BTreeMap::new(), new_files: HashMap::new() };
        let is_lost = |chunk: &ProfiledChunk| {
            old_manifest.chunks.get(chunk.chunk as usize).is_some_and(|chunk| {
                chunk.offset >= old_manifest.geometry.metadata_len && !places.by_id.contains_key(&chunk.id)
            })
        };
        if profiles.0.iter().flat_map(|profile| &profile.chunks).any(is_lost) {
            let area = metadata_area(store, old).await?;
            places.old_files =
                files(&area).into_iter().map(|(path, body)| (body.start, (path, body))).collect();
            places.new_files = files(heir.metadata).into_iter().collect();
        }
        Ok(places)
    }

    /// Makes a profile of the old image one of the new image.
    fn map(&self, profile: &mut Profile) {
        let mut seen = HashSet::new();
        let mut chunks = Vec::new();
        for known in &profile.chunks {
            let heirs = self.heirs(known.chunk).into_iter().filter(|chunk| seen.insert(*chunk));
            chunks.extend(heirs.map(|chunk| ProfiledChunk { chunk, ..*known }));
        }
        chunks.sort_by_key(|chunk| (chunk.position, chunk.chunk));
        chunks.truncate(MAX_PROFILE_CHUNKS as usize);
        profile.chunks = chunks;
    }

    /// The new image's chunks that stand for an old one.
    fn heirs(&self, index: u32) -> Vec<u32> {
        let Some(chunk) = self.old.chunks.get(index as usize) else { return Vec::new() };
        if let Some(same) = self.by_id.get(&chunk.id) {
            return vec![*same];
        }
        let range = chunk.offset..chunk.offset.saturating_add(chunk.len.into());
        let (old_len, new_len) = (self.old.geometry.metadata_len, self.new.geometry.metadata_len);
        if range.start < old_len {
            let scaled = |at: u64| (u128::from(at) * u128::from(new_len) / u128::from(old_len.max(1))) as u64;
            return self.chunks_in(scaled(range.start)..scaled(range.end)).take(HEIRS_MAX).collect();
        }
        let before = self.old_files.range(..range.start).next_back();
        let overlapping = before.into_iter().chain(self.old_files.range(range.clone()));
        let mut heirs = Vec::new();
        for (path, body) in overlapping.map(|(_, file)| file).filter(|(_, body)| body.end > range.start) {
            let Some(new) = self.new_files.get(path) else { continue };
            let from = range.start.saturating_sub(body.start);
            let to = range.end.min(body.end).saturating_sub(body.start);
            let part = new.start.saturating_add(from)..new.start.saturating_add(to).min(new.end);
            for heir in self.chunks_in(part) {
                if !heirs.contains(&heir) && heirs.len() < HEIRS_MAX {
                    heirs.push(heir);
                }
            }
        }
        heirs
    }

    /// The new image's chunks in a range of its address space.
    fn chunks_in(&self, range: Range<u64>) -> impl Iterator<Item = u32> {
        let chunks = &self.new.chunks;
        let end_of = |chunk: &Chunk| chunk.offset.saturating_add(chunk.len.into());
        let first = chunks.partition_point(|chunk| end_of(chunk) <= range.start);
        let last = chunks.partition_point(|chunk| chunk.offset < range.end);
        first as u32..last as u32
    }
}

/// The bytes of an image's metadata area.
async fn metadata_area(store: &Store, image: &Stands) -> Result<Vec<u8>, ConvertError> {
    let Manifest { geometry, chunks, keys, .. } = &image.manifest;
    let mut area = vec![0; usize::try_from(geometry.metadata_len).unwrap_or_default()];
    let wanted = chunks.iter().zip(keys).take_while(|(chunk, _)| chunk.offset < geometry.metadata_len);
    let reads = wanted.map(|(chunk, key)| async move {
        let sealed = store.get_chunk_patiently(image.reference.root, &chunk.id).await?;
        Ok::<_, ConvertError>((chunk.offset, open_chunk(&sealed, key, chunk.len)?))
    });
    let mut reads = stream::iter(reads).buffered(READS);
    while let Some((offset, bytes)) = reads.try_next().await? {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(place) = area.get_mut(start..).and_then(|rest| rest.get_mut(..bytes.len())) {
            place.copy_from_slice(&bytes);
        }
    }
    Ok(area)
}

/// The regular files of a metadata area: paths, and where their data lie in the image.
fn files(area: &[u8]) -> Vec<(Vec<u8>, Range<u64>)> {
    let Ok(image) = frazil_erofs::Image::open(area) else { return Vec::new() };
    let entries = image.walk(LIMITS).map_while(Result::ok);
    let regular = entries.filter(|entry| entry.inode.file_type == FileType::Regular);
    regular
        .map(|entry| (entry.path, entry.inode.extents().body.clone()))
        .filter(|(_, body)| !body.is_empty())
        .collect()
}

/// A bundle of what the profile foretells, made of the chunks as they are in the store.
async fn bundle(store: &Store, heir: &Heir<'_>, profile: &Profile) -> Result<Option<Bundle>, ConvertError> {
    let Reference { root, manifest } = &heir.reference;
    let (mut chunks, mut ids, mut bytes) = (Vec::new(), Vec::new(), 0);
    for known in profile.chunks.iter().filter(|chunk| chunk.is_likely()) {
        let Some(chunk) = heir.manifest.chunks.get(known.chunk as usize) else { continue };
        bytes += u64::from(chunk.sealed_len);
        if bundle_len(bytes) > MAX_BUNDLE_LEN {
            break;
        }
        chunks.push(known.chunk);
        ids.push(chunk.id);
    }
    if chunks.is_empty() {
        return Ok(None);
    }
    let id = BundleId::generate()?;
    let mut sealer = BundleSealer::new(heir.key.clone(), id);
    let mut writer = store.write_bundle(*root, manifest, &id);
    let reads = ids.iter().map(|id| store.get_chunk_patiently(*root, id));
    let mut reads = stream::iter(reads).buffered(READS);
    while let Some(sealed) = reads.try_next().await? {
        for segment in sealer.push(&sealed)? {
            writer.write(segment).await?;
        }
    }
    for segment in sealer.finish()? {
        writer.write(segment).await?;
    }
    writer.finish().await?;
    let made_seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    Ok(Some(Bundle { id, made_seconds, chunks }))
}
