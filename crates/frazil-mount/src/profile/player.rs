//! Playing a profile: its chunks come ahead of their readers, out of its bundle or one by one.
//!
//! A bundle is read in a few runs of segments. The next one is asked for just before the last has come: at
//! first what is needed first has the link to itself, and once the readers are far behind, several
//! connections share it. What the bundle lacks, and all of it when the bundle fails, is prefetched chunk by
//! chunk. Demand reads go their own way and never wait for longer than [`super::handover`] lets them.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use frazil_cache::host::{BUNDLE_BLOCK_LEN, HostError, ProfileShelf};
use frazil_cache::{Reference, Wanted};
use frazil_format::{Bundle, BundleId, BundleOpener, FormatError, SEGMENT_LEN, SealedChunk};
use futures::stream::{FuturesUnordered, StreamExt, TryStreamExt};
use tokio::sync::watch;

use super::ProfilingOptions;
use super::handover::Handover;
use crate::reader::{ChunkIndex, Source, Supplied};
use crate::{ChunkTable, Image, PrefetchHandle};

/// A bundle is read in runs of this many segments: the blocks that hosts keep it in.
const RUN: usize = (BUNDLE_BLOCK_LEN / SEGMENT_LEN) as usize;

/// More is asked for when no more than this many segments are missing of what was asked for: what a link of
/// 1 Gbit/s has on its way in 5 ms, or of 200 Mbit/s in 30 ms.
const MISSING_MIN: usize = 3;
const MISSING_MAX: usize = 48;

/// But never more than come in this time: over a narrow link what is needed first would share it with what is
/// not, and readers that wait for what is needed would fetch it twice.
const MISSING_FOR: Duration = Duration::from_millis(100);

/// Chunks that are asked for to learn whether the host has most of them.
const SAMPLE: usize = 8;

/// How long nothing may come, or nobody read what came, before a bundle is given up.
const STALLED: Duration = Duration::from_secs(20);

/// Why a bundle was given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum BundleFailed {
    #[error("it cannot be read")]
    Shelf(#[from] HostError),
    #[error("it is not what it should be")]
    Format(#[from] FormatError),
    #[error("it is shorter than it should be")]
    Short,
    #[error("nothing came of it for {} s", STALLED.as_secs())]
    Stalled,
    #[error("nothing came of it while readers were answered one by one")]
    Overtaken,
}

/// What is played, and from where.
pub(super) struct Player {
    pub(super) image: Arc<Image>,
    pub(super) handover: Arc<Handover>,
    pub(super) options: Arc<ProfilingOptions>,
}

/// A bundle, and what opens it.
pub(super) struct OpenedBundle {
    bundle: Bundle,
    opener: BundleOpener,
}

impl OpenedBundle {
    /// What it has, in its order.
    pub(super) fn chunks(&self) -> &[u32] {
        &self.bundle.chunks
    }
}

impl Player {
    /// Tells the image what will be read.
    pub(super) fn foretell(&self, chunks: &[u32]) {
        self.image.foretell(self.indexes(chunks));
    }

    /// Prefetches these chunks one by one.
    pub(super) fn chunks(&self, chunks: &[u32]) -> PrefetchHandle {
        self.image.prefetch(self.indexes(chunks), Source::Profile)
    }

    /// Prefetches those of these chunks that are metadata and in the table already: the tree is read before
    /// the rest has come.
    pub(super) fn metadata(&self, chunks: &[u32]) {
        let here = self.image.metadata_chunks();
        let chunks: Vec<u32> =
            chunks.iter().copied().filter(|chunk| here.contains(&(*chunk as usize))).collect();
        self.chunks(&chunks).detach();
    }

    fn indexes(&self, chunks: &[u32]) -> Vec<ChunkIndex> {
        chunks.iter().filter_map(|chunk| self.image.chunk_index(*chunk as usize)).collect()
    }

    /// A bundle that is about to be read.
    pub(super) fn open(&self, bundle: Bundle) -> Result<OpenedBundle, BundleFailed> {
        let ProfilingOptions { key, table, .. } = &*self.options;
        let opener = BundleOpener::new(key.clone(), &bundle, &table.first(behind(&bundle.chunks)))?;
        Ok(OpenedBundle { bundle, opener })
    }

    /// Reads the bundle to its end, and hands over the chunks of it that are foretold.
    pub(super) async fn bundle(
        &self,
        opened: OpenedBundle,
        foretold: &HashSet<u32>,
    ) -> Result<(), BundleFailed> {
        let OpenedBundle { bundle, opener } = opened;
        let runs = runs(opener.filled_segments());
        let opener = tokio::sync::Mutex::new(opener);
        let played = tokio::select! {
            played = self.runs(&bundle.id, runs, &opener, foretold) => played,
            () = self.handover.given_up() => Err(BundleFailed::Overtaken),
        };
        // Whatever was expected and did not come is to be fetched.
        self.handover.give_up();
        played
    }

    async fn runs(
        &self,
        bundle: &BundleId,
        mut runs: impl Iterator<Item = Range<usize>> + Send,
        opener: &tokio::sync::Mutex<BundleOpener>,
        foretold: &HashSet<u32>,
    ) -> Result<(), BundleFailed> {
        let (come, mut news) = watch::channel(0);
        let (mut under_way, mut asked) = (FuturesUnordered::new(), 0);
        loop {
            let soon = self.handover.segments_in(MISSING_FOR);
            let has_come = *news.borrow_and_update();
            if is_time_for_more(asked, has_come, soon)
                && (under_way.is_empty() || self.is_room_for_run(asked.saturating_sub(has_come)))
                && let Some(run) = runs.next()
            {
                asked = run.end;
                under_way.push(self.run(bundle, run, opener, foretold, &come));
                continue;
            }
            tokio::select! {
                done = under_way.next() => match done {
                    Some(done) => done?,
                    None => return Ok(()),
                },
                _ = news.changed() => {}
            }
        }
    }

    /// Whether the image has room ahead of its readers for the segments that are missing, and for a run more: what
    /// comes of a bundle before there is room for it would be memory that no budget counts.
    fn is_room_for_run(&self, missing: usize) -> bool {
        self.image.free_ahead() >= (missing + RUN) as u64 * SEGMENT_LEN
    }

    /// The chunks that the bundle begins with are expected from now on.
    pub(super) fn expect_first(&self, bundle: &OpenedBundle) {
        self.expect(&bundle.opener, 0);
    }

    /// The chunks of the run that starts there, and of the next one, are expected from now on: whoever reads
    /// them waits. What is farther away is worth a round trip of its own.
    fn expect(&self, opener: &BundleOpener, start: usize) {
        let run = start..opener.filled_segments().min(start + 2 * RUN);
        let chunks = run.flat_map(|segment| opener.chunks_in(segment));
        let ids = chunks.filter_map(|chunk| self.image.chunk_index(chunk as usize)).filter_map(|index| {
            // What is there already is asked for by nobody.
            (!self.image.is_touched(index)).then(|| self.image.place_of(index).map(|place| place.id))?
        });
        self.handover.expect(ids);
    }

    async fn run(
        &self,
        bundle: &BundleId,
        run: Range<usize>,
        opener: &tokio::sync::Mutex<BundleOpener>,
        foretold: &HashSet<u32>,
        come: &watch::Sender<usize>,
    ) -> Result<(), BundleFailed> {
        self.expect(&*opener.lock().await, run.start);
        let range = run.start as u64 * SEGMENT_LEN..run.end as u64 * SEGMENT_LEN;
        self.handover.asked(range.end - range.start);
        let mut pieces = within(self.options.shelf.bundle(&self.options.of, bundle, range)).await??;
        let (mut gathered, mut segment) = (BytesMut::new(), run.start);
        while segment < run.end {
            let piece = within(pieces.try_next()).await??.ok_or(BundleFailed::Short)?;
            self.handover.is_coming();
            gathered.extend_from_slice(&piece);
            // Whoever hands chunks over may wait for long: the bytes are kept once.
            drop(piece);
            while segment < run.end
                && let Some(sealed) = gathered.get(..SEGMENT_LEN as usize)
            {
                let whole = opener.lock().await.open(segment, sealed)?;
                gathered.advance(SEGMENT_LEN as usize);
                segment += 1;
                self.handover.segment_came();
                come.send_modify(|come| *come += 1);
                for (chunk, sealed) in whole {
                    self.hand_over(chunk, sealed, foretold).await?;
                }
            }
        }
        Ok(())
    }

    /// Gives a chunk to whoever waits for it, or to the image, as soon as that has room.
    async fn hand_over(
        &self,
        chunk: u32,
        sealed: SealedChunk,
        foretold: &HashSet<u32>,
    ) -> Result<(), BundleFailed> {
        let Some(place) = self.options.table.chunk(chunk as usize) else { return Ok(()) };
        let Some(mut sealed) = self.handover.came(&place.id, sealed) else { return Ok(()) };
        if !foretold.contains(&chunk) {
            return Ok(());
        }
        let bytes = sealed.len() as u64;
        let started = tokio::time::Instant::now();
        while self.supply(chunk, sealed.clone()) == Supplied::Full {
            self.handover.hold(place.id, sealed);
            let _ = self.image.room_ahead(bytes).await;
            match self.handover.take_back(&place.id) {
                Some(back) => sealed = back,
                None => return Ok(()),
            }
            if started.elapsed() > STALLED {
                return Err(BundleFailed::Stalled);
            }
        }
        Ok(())
    }

    fn supply(&self, chunk: u32, sealed: SealedChunk) -> Supplied {
        match self.image.chunk_index(chunk as usize) {
            Some(index) => self.image.supply(index, sealed, Source::Profile),
            None => Supplied::NoUse,
        }
    }
}

/// How many chunks the table must have for these to be among them.
pub(super) fn behind(chunks: &[u32]) -> usize {
    chunks.iter().max().map_or(0, |last| *last as usize + 1)
}

/// Whether this host has most of these chunks: then it gives them as quickly as a bundle. A sample tells.
pub(super) async fn are_near(
    shelf: &dyn ProfileShelf,
    of: &Reference,
    table: &ChunkTable,
    chunks: &[u32],
) -> bool {
    let step = chunks.len().div_ceil(SAMPLE).max(1);
    let sample = chunks.iter().step_by(step).filter_map(|chunk| table.chunk(*chunk as usize));
    let asked = sample.map(|chunk| {
        let wanted = Wanted { root: of.root, id: chunk.id, sealed_len: chunk.sealed_len };
        async move { shelf.is_near(&wanted).await }
    });
    let near = futures::future::join_all(asked).await;
    near.iter().filter(|near| **near).count() * 4 >= near.len() * 3
}

async fn within<T>(work: impl Future<Output = T>) -> Result<T, BundleFailed> {
    tokio::time::timeout(STALLED, work).await.map_err(|_| BundleFailed::Stalled)
}

/// Whether to ask for more, when `come` of the `asked` segments have come, and `soon` more will come soon.
fn is_time_for_more(asked: usize, come: usize, soon: Option<usize>) -> bool {
    let missing = (come / 2).clamp(MISSING_MIN, MISSING_MAX).min(soon.unwrap_or(MISSING_MIN).max(1));
    asked.saturating_sub(come) <= missing
}

/// The runs of a bundle of `segments` segments.
fn runs(segments: usize) -> impl Iterator<Item = Range<usize>> + Send {
    (0..segments).step_by(RUN).map(move |start| start..segments.min(start + RUN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_runs_follow_each_other_and_later_ones_share_the_link() {
        let missing_when_more_is_asked_for = |asked: usize, soon: usize| {
            let come = (0..=asked).find(|come| is_time_for_more(asked, *come, Some(soon))).unwrap();
            asked - come
        };
        assert!((MISSING_MIN..RUN / 2).contains(&missing_when_more_is_asked_for(RUN, 47)));
        assert_eq!(missing_when_more_is_asked_for(100 * RUN, 50), MISSING_MAX, "three runs are under way");
        assert_eq!(
            missing_when_more_is_asked_for(100 * RUN, 0),
            1,
            "over a narrow link one follows the other"
        );
    }

    #[test]
    fn runs_cover_a_bundle_once() {
        assert_eq!(runs(21).collect::<Vec<_>>(), [0..16, 16..21]);
        let runs: Vec<_> = runs(2048).collect();
        assert!(runs.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert_eq!((runs.first().unwrap().start, runs.last().unwrap().end), (0, 2048));
    }
}
