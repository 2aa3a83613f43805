//! Making a bundle: the sealed chunks of a profile, from memory or the tiers, in its order.

use std::collections::HashSet;
use std::sync::Arc;

use frazil_cache::host::HostError;
use frazil_cache::resilience::{Priority, Urgency};
use frazil_cache::{ErrorClass, Tier, Wanted};
use frazil_format::bounds::MAX_BUNDLE_LEN;
use frazil_format::{Bundle, BundleId, BundleSealer, Chunk, Profile, bundle_len};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::ProfilingOptions;
use super::handover::Remembered;
use super::learn::{foretold, sealed_len};

/// Fewer chunks are fetched one by one as quickly.
const CHUNKS_MIN: usize = 8;

/// Chunks that are fetched at once for a bundle.
const FETCHES: usize = 8;

/// A bundle is good enough if it has at least this much of what is foretold, and at most this much else, in
/// hundredths.
const GOOD_ENOUGH: u64 = 90;
const MAX_WASTE: u64 = 25;

/// The chunks that a new bundle would have; none if the old one is good enough, or if there are too few.
pub(super) fn wanted(profile: &Profile, table: &[Chunk]) -> Option<Vec<u32>> {
    let mut chunks = foretold(profile);
    let mut bytes = 0;
    let fitting = chunks.iter().take_while(|&&chunk| {
        bytes += sealed_len([chunk], table);
        bundle_len(bytes) <= MAX_BUNDLE_LEN
    });
    chunks.truncate(fitting.count());
    if chunks.len() < CHUNKS_MIN {
        return None;
    }
    if let Some(bundle) = &profile.bundle {
        let has: HashSet<u32> = bundle.chunks.iter().copied().collect();
        let all = sealed_len(chunks.iter().copied(), table);
        let there = sealed_len(chunks.iter().copied().filter(|chunk| has.contains(chunk)), table);
        let waste = sealed_len(has, table).saturating_sub(there);
        if there * 100 >= all * GOOD_ENOUGH && waste * 100 <= (there + waste) * MAX_WASTE {
            return None;
        }
    }
    Some(chunks)
}

/// Where the chunks of a bundle come from, and where it goes.
pub(super) struct Workshop {
    pub(super) options: Arc<ProfilingOptions>,
    pub(super) table: Arc<[Chunk]>,
    pub(super) remembered: Remembered,
    pub(super) below: Arc<dyn Tier>,
}

impl Workshop {
    /// Makes a bundle of these chunks, and writes it.
    pub(super) async fn make(self, chunks: Vec<u32>, now_seconds: u64) -> Result<Bundle, HostError> {
        let Self { options, table, remembered, below } = self;
        let of = options.of;
        let id = BundleId::generate().map_err(failed)?;
        let remembered = Arc::new(remembered);
        let fetches = chunks.clone().into_iter().map(move |chunk| {
            let (table, remembered, below) =
                (Arc::clone(&table), Arc::clone(&remembered), Arc::clone(&below));
            async move {
                let chunk = table.get(chunk as usize).ok_or_else(|| failed(Absent))?;
                if let Some(sealed) = remembered.get(&chunk.id) {
                    return Ok(sealed.clone());
                }
                let wanted = Wanted { root: of.root, id: chunk.id, sealed_len: chunk.sealed_len };
                let fetched = Urgency::new(Priority::Prefetch).scope(below.get(&wanted)).await;
                fetched.map(|served| served.chunk).map_err(failed)
            }
        });
        let sealer = Some(BundleSealer::new(options.key.clone(), id));
        let sealed = stream::iter(fetches).buffered(FETCHES).map(Some).chain(stream::iter([None]));
        let segments = sealed.scan(sealer, |sealer, next| {
            let segments = match next {
                Some(Ok(chunk)) => sealer.as_mut().map_or(Ok(Vec::new()), |sealer| sealer.push(&chunk)),
                Some(Err(error)) => return std::future::ready(Some(Err(error))),
                None => sealer.take().map_or(Ok(Vec::new()), BundleSealer::finish),
            };
            std::future::ready(Some(segments.map_err(failed)))
        });
        let bytes = segments.map_ok(|segments| stream::iter(segments.into_iter().map(Ok))).try_flatten();
        options.shelf.put_bundle(&of, &id, bytes.boxed()).await?;
        Ok(Bundle { id, made_seconds: now_seconds, chunks })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the image has no such chunk")]
struct Absent;

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> HostError {
    HostError::LookUp {
        what: "the chunks of a bundle".to_owned(),
        class: ErrorClass::Transient,
        source: Arc::new(error),
    }
}

#[cfg(test)]
mod tests {
    use frazil_format::{ChunkId, Label, ProfiledChunk};

    use super::*;

    fn table() -> Vec<Chunk> {
        let chunk = |index: u32| Chunk {
            offset: u64::from(index) * 1000,
            len: 1000,
            sealed_len: 1017,
            id: ChunkId::of(&index.to_le_bytes()),
        };
        (0..100).map(chunk).collect()
    }

    fn profile(chunks: std::ops::Range<u32>, bundled: Option<std::ops::Range<u32>>) -> Profile {
        Profile {
            label: Label::mount(""),
            starts: 1,
            precision: 1000,
            recorded_seconds: 1,
            chunks: chunks.map(|chunk| ProfiledChunk { chunk, position: chunk, history: 1 }).collect(),
            bundle: bundled.map(|chunks| Bundle {
                id: BundleId::from_bytes([1; 32]),
                made_seconds: 1,
                chunks: chunks.collect(),
            }),
        }
    }

    #[test]
    fn a_bundle_is_made_when_there_is_none_when_it_lacks_much_and_when_much_of_it_is_useless() {
        let wants = |chunks, bundled| wanted(&profile(chunks, bundled), &table()).map(|chunks| chunks.len());
        assert_eq!(wants(0..20, None), Some(20));
        assert_eq!(wants(0..7, None), None, "too few");
        assert_eq!(wants(0..20, Some(0..20)), None, "it has all");
        assert_eq!(wants(0..20, Some(0..19)), None, "it has nearly all");
        assert_eq!(wants(0..20, Some(0..10)), Some(20), "it lacks half");
        assert_eq!(wants(0..20, Some(0..40)), Some(20), "half of it is useless");
    }
}
