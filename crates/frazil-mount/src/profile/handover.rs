//! The tier through which a bundle's chunks reach their readers.
//!
//! A reader of a chunk that is on its way in a bundle waits for it instead of fetching it twice, as long as
//! the bundle comes. When the bundle is silent for longer than it usually is, the reader asks the tier below
//! too, and takes what comes first: a bundle that never comes costs a start one such silence, and one that
//! comes slowly costs it nothing. When readers are answered from below and the bundle stays silent, it is
//! given up; a reader that is refused below still takes what comes of it. While the bundle itself waits for
//! room ahead of the readers, nobody waits for it. While a start is recorded for the first time, what comes
//! from below is remembered, so that a bundle can be made of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use frazil_cache::{Level, Served, Tier, TierError, Wanted};
use frazil_format::{ChunkId, SealedChunk};
use futures::future::{BoxFuture, Either, select};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::ProfilingCounts;
use super::rhythm::Rhythm;

/// Sealed chunks that are remembered for a bundle, in bytes. The rest is fetched again when it is made.
const REMEMBERED_MAX: u64 = 32 << 20;

/// Sealed chunks that came from below during a start.
pub(super) type Remembered = HashMap<ChunkId, SealedChunk>;

/// A tier with a second way for chunks to come.
pub(super) struct Handover {
    below: Arc<dyn Tier>,
    state: Mutex<State>,
    /// Woken when readers give the bundle up.
    given_up: Notify,
}

struct State {
    coming: HashMap<ChunkId, Coming>,
    rhythm: Rhythm,
    /// It waits for room, with a chunk in hand.
    is_held: bool,
    /// Nothing is expected of it any more.
    is_given_up: bool,
    /// None when nothing is remembered any more.
    remembered: Option<Remembered>,
    remembered_bytes: u64,
    counts: ProfilingCounts,
}

/// A chunk of a bundle.
enum Coming {
    /// On its way, for these readers.
    Expected(Vec<oneshot::Sender<SealedChunk>>),
    /// Here, because the image has no room for it yet.
    InHand(SealedChunk),
}

/// What becomes of a reader that waits.
enum Waited {
    Came(SealedChunk),
    /// Whoever sends the bundle gave it up.
    InVain,
    /// Nothing comes, or too slowly: the reader asks below as well.
    TooLong,
}

/// What a reader finds.
enum Found {
    Chunk(SealedChunk),
    Wait(oneshot::Receiver<SealedChunk>),
    Nothing,
}

impl Handover {
    /// A handover over this tier; `way` is how long a few round trips to the store take, if that is known.
    pub(super) fn over(below: Arc<dyn Tier>, way: Option<Duration>) -> Self {
        let state = State {
            coming: HashMap::new(),
            rhythm: Rhythm::new(way, Instant::now()),
            is_held: false,
            is_given_up: false,
            remembered: Some(HashMap::new()),
            remembered_bytes: 0,
            counts: ProfilingCounts::default(),
        };
        Self { below, state: Mutex::new(state), given_up: Notify::new() }
    }

    /// What was counted so far.
    pub(super) fn counts(&self) -> ProfilingCounts {
        self.lock().counts
    }

    /// A part of a bundle was asked for; it has `bytes` bytes.
    pub(super) fn asked(&self, bytes: u64) {
        let mut state = self.lock();
        state.counts.bundle_requests += 1;
        state.counts.bundle_bytes += bytes;
        state.rhythm.sign(Instant::now());
    }

    /// A piece of the bundle came, of whatever length.
    pub(super) fn is_coming(&self) {
        self.lock().rhythm.piece(Instant::now());
    }

    /// How many segments come in this time, if that is known by now.
    pub(super) fn segments_in(&self, time: Duration) -> Option<usize> {
        self.lock().rhythm.segments_in(time)
    }

    /// A segment of the bundle came.
    pub(super) fn segment_came(&self) {
        self.lock().rhythm.segment(Instant::now());
    }

    fn handed(&self, chunk: SealedChunk) -> Served {
        let mut state = self.lock();
        state.counts.handed_chunks += 1;
        state.counts.handed_bytes += chunk.len() as u64;
        Served::by(Level::Origin, chunk)
    }

    /// The tier below.
    pub(super) fn below(&self) -> &Arc<dyn Tier> {
        &self.below
    }

    /// These chunks are on their way.
    pub(super) fn expect(&self, ids: impl IntoIterator<Item = ChunkId>) {
        let mut state = self.lock();
        if state.is_given_up {
            return;
        }
        for id in ids {
            state.coming.entry(id).or_insert_with(|| Coming::Expected(Vec::new()));
        }
    }

    /// A chunk came; gives it back if no reader waits for it.
    pub(super) fn came(&self, id: &ChunkId, chunk: SealedChunk) -> Option<SealedChunk> {
        let mut state = self.lock();
        let Some(Coming::Expected(readers)) = state.coming.remove(id) else { return Some(chunk) };
        drop(state);
        let mut taken = false;
        for reader in readers {
            taken |= reader.send(chunk.clone()).is_ok();
        }
        (!taken).then_some(chunk)
    }

    /// Keeps a chunk for which there is no room yet where a reader finds it. The chunks behind it do not come
    /// before it is taken back: whoever waits for them asks below.
    pub(super) fn hold(&self, id: ChunkId, chunk: SealedChunk) {
        let mut state = self.lock();
        state.is_held = true;
        for coming in state.coming.values_mut() {
            if let Coming::Expected(readers) = coming {
                readers.clear();
            }
        }
        state.coming.insert(id, Coming::InHand(chunk));
    }

    /// Takes back the chunk that is held; none if a reader took it.
    pub(super) fn take_back(&self, id: &ChunkId) -> Option<SealedChunk> {
        let mut state = self.lock();
        state.is_held = false;
        state.rhythm.resumed(Instant::now());
        match state.coming.remove(id) {
            Some(Coming::InHand(chunk)) => Some(chunk),
            _ => None,
        }
    }

    /// Nothing more comes, whatever a player that is just ending would still expect: whoever waits asks
    /// below.
    pub(super) fn give_up(&self) {
        let mut state = self.lock();
        state.is_given_up = true;
        state.coming.clear();
    }

    /// Waits until readers have given the bundle up.
    pub(super) async fn given_up(&self) {
        loop {
            let given_up = self.given_up.notified();
            if self.lock().is_given_up {
                return;
            }
            given_up.await;
        }
    }

    /// A reader that asked below at that time was answered before the bundle came.
    fn overtaken(&self, asked: Instant) {
        let mut state = self.lock();
        if !state.is_given_up && state.rhythm.is_overtaken(asked, Instant::now()) {
            state.is_given_up = true;
            self.given_up.notify_waiters();
        }
    }

    /// Stops remembering chunks, and gives those that were remembered.
    pub(super) fn forget(&self) -> Remembered {
        self.lock().remembered.take().unwrap_or_default()
    }

    fn find(&self, id: &ChunkId) -> Found {
        let mut state = self.lock();
        let is_held = state.is_held;
        match state.coming.get_mut(id) {
            None => Found::Nothing,
            Some(Coming::Expected(_)) if is_held => Found::Nothing,
            Some(Coming::Expected(readers)) => {
                let (reader, chunk) = oneshot::channel();
                readers.push(reader);
                Found::Wait(chunk)
            }
            Some(Coming::InHand(_)) => match state.coming.remove(id) {
                Some(Coming::InHand(chunk)) => Found::Chunk(chunk),
                _ => Found::Nothing,
            },
        }
    }

    /// Waits for a chunk that is expected, unless that takes too long.
    async fn wait_for(&self, chunk: &mut oneshot::Receiver<SealedChunk>) -> Waited {
        let began = Instant::now();
        loop {
            let until = self.lock().rhythm.worth_waiting(began);
            let came = tokio::time::timeout_at(until, &mut *chunk).await;
            match came {
                Ok(Ok(chunk)) => return Waited::Came(chunk),
                Ok(Err(_)) => return Waited::InVain,
                // Something came meanwhile: what comes behind it is worth some more patience.
                Err(_) if self.lock().rhythm.worth_waiting(began) > Instant::now() => {}
                Err(_) => return Waited::TooLong,
            }
        }
    }

    /// A chunk from the bundle or from below, whatever is sooner; an error only when neither has it.
    async fn race(
        &self,
        wanted: &Wanted,
        chunk: oneshot::Receiver<SealedChunk>,
    ) -> Result<Served, TierError> {
        let asked = Instant::now();
        match select(chunk, self.fetch(wanted)).await {
            Either::Left((Ok(chunk), _)) => Ok(self.handed(chunk)),
            Either::Left((Err(_), below)) => below.await,
            Either::Right((Ok(served), _)) => {
                self.overtaken(asked);
                Ok(served)
            }
            // That wait has an end: a bundle that is silent for too long is given up, and so is one that is not over
            // when the recording is.
            Either::Right((Err(error), chunk)) => match chunk.await {
                Ok(chunk) => Ok(self.handed(chunk)),
                Err(_) => Err(error),
            },
        }
    }

    fn fetch<'a>(&'a self, wanted: &'a Wanted) -> BoxFuture<'a, Result<Served, TierError>> {
        Box::pin(async move {
            let served = self.below.get(wanted).await?;
            self.remember(&wanted.id, &served.chunk);
            Ok(served)
        })
    }

    fn remember(&self, id: &ChunkId, chunk: &SealedChunk) {
        let mut state = self.lock();
        let bytes = state.remembered_bytes.saturating_add(chunk.len() as u64);
        if bytes <= REMEMBERED_MAX
            && let Some(remembered) = &mut state.remembered
            && remembered.insert(*id, chunk.clone()).is_none()
        {
            state.remembered_bytes = bytes;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Tier for Handover {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        match self.find(&wanted.id) {
            Found::Chunk(chunk) => return Ok(self.handed(chunk)),
            Found::Wait(mut chunk) => match self.wait_for(&mut chunk).await {
                Waited::Came(chunk) => return Ok(self.handed(chunk)),
                Waited::TooLong => return self.race(wanted, chunk).await,
                Waited::InVain => {}
            },
            Found::Nothing => {}
        }
        self.fetch(wanted).await
    }
}

/// Prints as what is below it: it is a way, not a level.
impl fmt::Display for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.below.fmt(f)
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").field("below", &self.below).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use frazil_format::{Compression, Payload, RootId, ScopeSecret, Sealer};

    use super::*;

    /// A tier that has nothing.
    #[derive(Debug, Default)]
    struct Empty {
        asked: Notify,
    }

    #[async_trait]
    impl Tier for Empty {
        async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
            self.asked.notify_one();
            Err(TierError::NotFound { id: wanted.id, root: wanted.root, tier: self.to_string() })
        }
    }

    impl fmt::Display for Empty {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("empty")
        }
    }

    /// A chunk that a bundle is to bring, and that is not below.
    struct Scene {
        below: Arc<Empty>,
        handover: Handover,
        wanted: Wanted,
        chunk: SealedChunk,
    }

    impl Scene {
        fn new() -> Self {
            let sealer = Sealer::new(&ScopeSecret::from_bytes([1; 32]), RootId::FIRST);
            let sealed = sealer.seal(&Payload::compress(b"a chunk", Compression::None)).unwrap();
            let sealed_len = u32::try_from(sealed.chunk.len()).unwrap();
            let wanted = Wanted { root: RootId::FIRST, id: sealed.id, sealed_len };
            let below = Arc::new(Empty::default());
            let handover =
                Handover::over(Arc::clone(&below) as Arc<dyn Tier>, Some(Duration::from_millis(1)));
            handover.expect([wanted.id]);
            Self { below, handover, wanted, chunk: sealed.chunk }
        }

        /// What a reader gets if this happens after it was refused below.
        async fn refused_and_then(&self, happens: impl FnOnce(&Self)) -> Result<Served, TierError> {
            let refused = async {
                self.below.asked.notified().await;
                happens(self);
            };
            futures::join!(self.handover.get(&self.wanted), refused).0
        }
    }

    #[tokio::test]
    async fn a_reader_who_is_refused_below_has_what_the_bundle_brings_after_that() {
        let scene = Scene::new();
        let served = scene.refused_and_then(|scene| {
            assert!(scene.handover.came(&scene.wanted.id, scene.chunk.clone()).is_none(), "nobody took it");
        });
        assert_eq!(served.await.unwrap().chunk, scene.chunk);
        assert_eq!(scene.handover.counts().handed_chunks, 1);
    }

    #[tokio::test]
    async fn a_reader_who_is_refused_below_learns_so_when_the_bundle_is_given_up() {
        let scene = Scene::new();
        let served = scene.refused_and_then(|scene| scene.handover.give_up()).await;
        assert!(matches!(served, Err(TierError::NotFound { .. })), "{served:?}");
        scene.handover.expect([scene.wanted.id]);
        assert!(matches!(scene.handover.find(&scene.wanted.id), Found::Nothing), "nothing will come");
    }
}
