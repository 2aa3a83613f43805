//! What moves the runs on: one task per image, which exists while there is something to prefetch.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use frazil_cache::Level;
use frazil_cache::resilience::{Priority, Urgency};
use frazil_format::SealedChunk;
use tokio::sync::{Notify, watch};

use super::pace::{Pace, Scene, Verdict};
use super::queue::Queue;
use super::run::{Landing, Run};
use super::source::{Keep, Source};
use super::{PrefetchCounts, PrefetchHandle};
use crate::reader::chunk_cache::Worth;
use crate::reader::chunk_table::Come;
use crate::reader::{ChunkIndex, Image};

/// The pump looks again after this time even if nobody told it of anything.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The prefetches of one image.
#[derive(Clone, Default)]
pub(in crate::reader) struct Prefetches(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    readers: AtomicUsize,
    news: Notify,
    room: Notify,
}

#[derive(Default)]
struct State {
    queue: Queue,
    pace: Pace,
    /// Sealed bytes on their way that will be kept sealed.
    sealed_in_flight: u64,
    is_running: bool,
    is_stopped: bool,
}

/// A reader that waits for a chunk; for as long as this lives.
pub(in crate::reader) struct Reader<'a>(&'a Shared);

/// What the pump does next.
enum Step {
    Start(Arc<Run>, ChunkIndex, u64),
    Wait(Option<Instant>),
    Stop,
}

impl Prefetches {
    /// Counts a reader that waits.
    pub(in crate::reader) fn reader(&self) -> Reader<'_> {
        self.0.readers.fetch_add(1, Relaxed);
        Reader(&self.0)
    }

    /// This level answered after `latency`.
    pub(in crate::reader) fn answered(&self, began: Priority, by: Level, latency: Duration) {
        self.lock().pace.answered(Instant::now(), began, by, latency);
    }

    /// How long a fetch waits for a way that is free; none where it is not, or before any answer came.
    pub(in crate::reader) fn free_latency(&self) -> Option<Duration> {
        self.lock().pace.free_latency()
    }

    /// The tier failed.
    pub(in crate::reader) fn failed(&self) {
        self.lock().pace.failed(Instant::now());
    }

    /// Begins no prefetches from now on.
    /// Whether nobody is going to read any more.
    pub(in crate::reader) fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }

    pub(in crate::reader) fn stop(&self) {
        let mut state = self.lock();
        state.is_stopped = true;
        state.queue.cancel();
        self.0.news.notify_one();
    }

    /// Waits until nothing is under way.
    async fn landed(&self) {
        loop {
            let room = self.0.room.notified();
            if self.lock().pace.in_flight() == 0 {
                return;
            }
            room.await;
        }
    }

    /// Waits until there may be more room than when this was called, or for a moment.
    pub(super) fn room(&self) -> impl Future<Output = ()> {
        let mut made = Box::pin(self.0.room.notified());
        made.as_mut().enable();
        async move {
            let _ = tokio::time::timeout(LOOK_AGAIN, made).await;
        }
    }

    /// There is room for more ahead of the readers.
    pub(in crate::reader) fn has_room(&self) {
        self.0.has_room();
    }

    /// Sealed bytes on their way that will be kept sealed.
    pub(super) fn sealed_in_flight(&self) -> u64 {
        self.lock().sealed_in_flight
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Tells the pump, and whoever waits with something in hand.
    fn has_room(&self) {
        self.news.notify_one();
        self.room.notify_waiters();
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Relaxed);
        self.0.has_room();
    }
}

impl Image {
    /// Prefetches these chunks, in this order, behind the readers and within what the link can take; see
    /// [`Source`] for what becomes of them. Chunks that are there, or were touched, are passed over. Returns at
    /// once.
    pub fn prefetch<I>(&self, chunks: I, source: Source) -> PrefetchHandle
    where
        I: IntoIterator<Item = ChunkIndex>,
        I::IntoIter: Send + 'static,
    {
        let run = Arc::new(Run::new(source, Box::new(chunks.into_iter())));
        let mut state = self.prefetches.lock();
        if state.is_stopped {
            run.cancel();
            return PrefetchHandle::new(run);
        }
        state.queue.add(Arc::clone(&run));
        if !std::mem::replace(&mut state.is_running, true) {
            self.runtime.spawn(pump(self.me.clone(), self.prefetches.clone(), self.table.news()));
        }
        drop(state);
        self.prefetches.0.news.notify_one();
        PrefetchHandle::new(run)
    }

    /// Ends all prefetching, for good, and waits until what is under way has landed, or until `patience` is
    /// over: then the counters stand still.
    pub async fn stop_prefetching(&self, patience: Duration) {
        self.prefetches.stop();
        // What has not landed by then is given up when the process ends.
        let _ = tokio::time::timeout(patience, self.prefetches.landed()).await;
    }

    /// What became of the chunks that were prefetched for this reason.
    pub fn prefetch_counts(&self, source: Source) -> PrefetchCounts {
        self.marks.counts(source)
    }

    /// Prefetches what the tree cannot be shown without: the metadata area, or its beginning where it is huge. What
    /// is behind that follows when something walks there.
    pub fn prefetch_metadata(&self) {
        let mut bytes = 0;
        let beginning: Vec<_> = self
            .table
            .metadata()
            .take_while(|index| {
                bytes += self.table.len_of(*index);
                bytes <= self.metadata_ahead_bytes
            })
            .map(ChunkIndex::new)
            .collect();
        self.prefetch(beginning, Source::Metadata).detach();
    }

    fn step(&self) -> Step {
        let mut state = self.prefetches.lock();
        let State { queue, pace, sealed_in_flight, .. } = &mut *state;
        // What the table does not have yet waits in its run.
        let is_wanted =
            |run: &Run, index| !self.table.has(index) || self.is_worth_fetching(index, run.source);
        let room = self.sealed.free_ahead(*sealed_in_flight);
        // What waits sealed for its reader must not push out what waits before it.
        let may_go = |run: &Run, index| {
            if !self.table.has(index) {
                self.table.want();
                return false;
            }
            run.source.keep() != Keep::Sealed || self.table.sealed_len_of(index) <= room
        };
        let Some((run, index)) = queue.next(is_wanted, may_go) else {
            if queue.is_empty() {
                state.is_running = false;
                return Step::Stop;
            }
            return Step::Wait(None);
        };
        let bytes = self.table.sealed_len_of(index);
        let scene = Scene {
            now: Instant::now(),
            readers: self.prefetches.0.readers.load(Relaxed),
            ahead: self.marks.ahead(),
        };
        match pace.verdict(bytes, scene) {
            Verdict::Wait => return Step::Wait(None),
            Verdict::Rest(until) => return Step::Wait(Some(until)),
            Verdict::Go => {}
        }
        pace.starts(bytes);
        if run.source.keep() == Keep::Sealed {
            *sealed_in_flight += bytes;
        }
        run.begin();
        let was_touched = self.touches.contains(index);
        self.marks.begun(index, run.source);
        // A reader that came in between either shows here, or finds the mark and takes it away.
        if !was_touched && !self.is_worth_fetching(index, run.source) {
            self.marks.settled(index);
        }
        Step::Start(run, index, bytes)
    }

    pub(in crate::reader) fn is_worth_fetching(&self, index: ChunkIndex, source: Source) -> bool {
        // What was touched is in the page cache; a stream that comes back knows better.
        let has_served = source != Source::ReadAhead && self.touches.contains(index);
        !has_served && self.table.get(index).is_some() && self.is_missing(index)
    }

    /// Whether a chunk is neither kept here nor on its way.
    pub(in crate::reader) fn is_missing(&self, index: ChunkIndex) -> bool {
        let is_there = self.decoded.contains(index)
            || self.opened_ahead.contains(index)
            || self.sealed.contains(index)
            || self.openings.contains(index)
            || self.fetches.contains(index);
        !is_there
    }

    /// One prefetch, from its start to where it is kept.
    async fn prefetch_one(self: Arc<Self>, run: Arc<Run>, index: ChunkIndex, bytes: u64) {
        let urgency = Urgency::new(Priority::Prefetch);
        let source = run.source;
        let landing = if self.marks.ahead_for(index).is_none() {
            Landing::There
        } else {
            let came = match source.keep() {
                Keep::Decoded => self.opened(index, &urgency).await.is_ok(),
                Keep::Sealed | Keep::Spare | Keep::Below => self.fetched(index, &urgency).await.is_ok(),
            };
            if came { Landing::Fetched { bytes } } else { Landing::Failed }
        };
        match landing {
            Landing::Fetched { bytes } => self.marks.came(source, bytes),
            Landing::There => {}
            Landing::Failed => self.marks.failed(index, source),
        }
        if source.keep() == Keep::Below {
            self.marks.settled(index);
        }
        let mut state = self.prefetches.lock();
        state.pace.ends(bytes);
        if source.keep() == Keep::Sealed {
            state.sealed_in_flight = state.sealed_in_flight.saturating_sub(bytes);
        }
        drop(state);
        run.end(landing);
        self.prefetches.has_room();
    }

    /// Keeps a sealed chunk for its reader, if it was fetched for that and nobody was quicker.
    pub(in crate::reader) fn keep_ahead(&self, index: ChunkIndex, sealed: &SealedChunk) {
        let keep = self.marks.ahead_for(index).map(Source::keep);
        let worth = match keep {
            Some(Keep::Sealed) => Worth::Dear,
            Some(Keep::Spare) => Worth::Spare,
            Some(Keep::Decoded | Keep::Below) | None => return,
        };
        self.keep_sealed(index, sealed.clone(), worth);
        if worth == Worth::Dear {
            self.open_ahead(index);
        }
    }

    /// Keeps a sealed chunk; those that go for it are ahead of nobody any more, unless they were opened meanwhile.
    pub(in crate::reader) fn keep_sealed(&self, index: ChunkIndex, sealed: SealedChunk, worth: Worth) {
        let gone = self.sealed.insert(index, sealed, worth);
        gone.into_iter().filter(|gone| self.is_missing(*gone)).for_each(|gone| self.marks.evicted(gone));
    }
}

async fn pump(image: Weak<Image>, prefetches: Prefetches, mut pages: watch::Receiver<Come>) {
    loop {
        let news = prefetches.0.news.notified();
        // The image is held for a step at a time: it goes when its last user does.
        let Some(image) = image.upgrade() else { return };
        let until = loop {
            match image.step() {
                Step::Start(run, index, bytes) => {
                    image.runtime.spawn(Arc::clone(&image).prefetch_one(run, index, bytes));
                }
                Step::Wait(until) => break until,
                Step::Stop => return,
            }
        };
        drop(image);
        let pause = until.map_or(LOOK_AGAIN, |until| until.saturating_duration_since(Instant::now()));
        tokio::select! {
            () = news => {}
            // An error says that the table is gone, and with it the image.
            _ = pages.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
