//! The tier through which a bundle's chunks reach their readers.
//!
//! A reader of a chunk that is on its way in a bundle waits for it instead of fetching it twice, as long as the bundle
//! comes: when nothing came for [`PATIENCE`], or the reader has waited for [`PATIENCE_MAX`], it asks the tier below,
//! and from then on nobody waits for this bundle any more. While the bundle itself waits for room ahead of the readers,
//! nobody waits for it either. While a start is recorded for the first time, what comes from below is remembered, so
//! that a bundle can be made of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use frazil_cache::resilience::{Priority, Urgency};
use frazil_cache::{Level, Served, Tier, TierError, Wanted};
use frazil_format::{ChunkId, SealedChunk};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ProfilingCounts;

/// How long nothing may come of a bundle that a reader waits for: a chunk takes 50 ms at 20 Mbit/s.
const PATIENCE: Duration = Duration::from_millis(200);

/// How long a reader waits for a bundle at the most: what a run of it takes at 40 Mbit/s.
const PATIENCE_MAX: Duration = Duration::from_secs(1);

/// Sealed chunks that are remembered for a bundle, in bytes. The rest is fetched again when it is made.
const REMEMBERED_MAX: u64 = 32 << 20;

/// Sealed chunks that came from below during a start.
pub(super) type Remembered = HashMap<ChunkId, SealedChunk>;

/// A tier with a second way for chunks to come.
pub(super) struct Handover {
    below: Arc<dyn Tier>,
    state: Mutex<State>,
}

struct State {
    coming: HashMap<ChunkId, Coming>,
    /// When something came of the bundle last.
    last_came: Instant,
    /// It waits for room, with a chunk in hand.
    is_held: bool,
    /// A reader waited in vain: none is to wait again.
    is_late: bool,
    /// None when nothing is remembered any more.
    remembered: Option<Remembered>,
    remembered_bytes: u64,
    counts: ProfilingCounts,
}

/// A chunk of a bundle.
enum Coming {
    /// On its way, for these readers.
    Expected(Vec<oneshot::Sender<SealedChunk>>),
    /// Here, and there is no room for it at the reader's.
    InHand(SealedChunk),
}

/// Nothing comes, or too slowly.
struct Late;

/// What a reader finds.
enum Found {
    Chunk(SealedChunk),
    Wait(oneshot::Receiver<SealedChunk>),
    Nothing,
}

impl Handover {
    pub(super) fn over(below: Arc<dyn Tier>) -> Self {
        let state = State {
            coming: HashMap::new(),
            last_came: Instant::now(),
            is_held: false,
            is_late: false,
            remembered: Some(HashMap::new()),
            remembered_bytes: 0,
            counts: ProfilingCounts::default(),
        };
        Self { below, state: Mutex::new(state) }
    }

    /// What was counted so far.
    pub(super) fn counts(&self) -> ProfilingCounts {
        self.lock().counts
    }

    /// A part of a bundle was asked for, and has so many bytes.
    pub(super) fn asked(&self, bytes: u64) {
        let mut state = self.lock();
        state.counts.bundle_requests += 1;
        state.counts.bundle_bytes += bytes;
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
        if state.is_late {
            return;
        }
        for id in ids {
            state.coming.entry(id).or_insert_with(|| Coming::Expected(Vec::new()));
        }
    }

    /// A chunk came; gives it back if no reader waits for it.
    pub(super) fn came(&self, id: &ChunkId, chunk: SealedChunk) -> Option<SealedChunk> {
        let mut state = self.lock();
        state.last_came = Instant::now();
        let Some(Coming::Expected(readers)) = state.coming.remove(id) else { return Some(chunk) };
        drop(state);
        let mut taken = false;
        for reader in readers {
            taken |= reader.send(chunk.clone()).is_ok();
        }
        (!taken).then_some(chunk)
    }

    /// Keeps a chunk for which there is no room yet where a reader finds it. What is behind it does not come before
    /// it is taken back: whoever waits for that asks below.
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

    /// Takes it back; none if a reader took it.
    pub(super) fn take_back(&self, id: &ChunkId) -> Option<SealedChunk> {
        let mut state = self.lock();
        state.is_held = false;
        state.last_came = Instant::now();
        match state.coming.remove(id) {
            Some(Coming::InHand(chunk)) => Some(chunk),
            _ => None,
        }
    }

    /// Nothing more comes: who waits asks below.
    pub(super) fn give_up(&self) {
        self.lock().coming.clear();
    }

    /// Nobody is to wait any more; what is in hand stays there.
    fn is_late(&self) {
        let mut state = self.lock();
        state.is_late = true;
        state.coming.retain(|_, coming| matches!(coming, Coming::InHand(_)));
    }

    /// Remembers no chunks any more; gives what was.
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

    /// A chunk that is expected; none if whoever sends the bundle gave it up.
    async fn wait_for(&self, mut chunk: oneshot::Receiver<SealedChunk>) -> Result<Option<SealedChunk>, Late> {
        let began = Instant::now();
        let mut until = began + PATIENCE;
        loop {
            match tokio::time::timeout_at(until, &mut chunk).await {
                Ok(came) => return Ok(came.ok()),
                Err(_) => {
                    let last_came = self.lock().last_came;
                    // Something came meanwhile: what comes behind it is worth some more patience.
                    let next = (last_came + PATIENCE).min(began + PATIENCE_MAX);
                    if next <= until {
                        return Err(Late);
                    }
                    until = next;
                }
            }
        }
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
            Found::Wait(chunk) => match self.wait_for(chunk).await {
                Ok(Some(chunk)) => return Ok(self.handed(chunk)),
                Ok(None) => {}
                Err(Late) if Urgency::current().priority() == Priority::Demand => {
                    tracing::debug!(chunk = %wanted.id, "a bundle is late: nobody waits for it any more");
                    self.is_late();
                }
                Err(Late) => {}
            },
            Found::Nothing => {}
        }
        let served = self.below.get(wanted).await?;
        self.remember(&wanted.id, &served.chunk);
        Ok(served)
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
