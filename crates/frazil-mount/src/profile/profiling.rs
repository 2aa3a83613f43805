//! One start of an image, from what is known of earlier ones to what this one taught.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use frazil_cache::host::ProfileShelf;
use frazil_cache::{Reference, Tier};
use frazil_format::{Label, Profile, ProfileKey, Profiles};
use tokio::task::JoinHandle;

use super::fetching::{FETCH_MAX, Fetching};
use super::handover::{Handover, Remembered};
use super::learn::{foretold, is_worth_playing};
use super::lesson::{Lesson, WRITE_MAX};
use super::player::{BundleFailed, OpenedBundle, Player, are_near, behind};
use super::recorder::Recorder;
use super::stage::{Course, Stage};
use crate::{ChunkTable, Image, PrefetchHandle, TouchListener};

/// Whether chunks may be on this host already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// No: nothing is kept, and all of it comes from far.
    Alone,
    /// A host cache or a disk of this process's own may have some, or all of it.
    Kept,
}

/// What a start is recorded and played with.
pub struct ProfilingOptions {
    /// What is started.
    pub label: Label,
    /// The manifest, and the root it is in now.
    pub of: Reference,
    /// The key of what lies beside it.
    pub key: ProfileKey,
    /// Its chunks, as they come.
    pub table: Arc<ChunkTable>,
    /// Where what is known lies, and goes.
    pub shelf: Arc<dyn ProfileShelf>,
    /// Whether the tiers are shared.
    pub sharing: Sharing,
    /// How long it took to learn what the name stands for: a few times the way to the store and back. None where that
    /// was not asked of the store itself.
    pub way: Option<Duration>,
}

/// One start that is being recorded, and helped by what is known. A clone is the same start.
#[derive(Clone)]
pub struct Profiling(Arc<Inner>);

/// What came some other way than chunk by chunk.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ProfilingCounts {
    /// Requests for parts of a bundle.
    pub bundle_requests: u64,
    /// Their bytes.
    pub bundle_bytes: u64,
    /// Chunks of it that readers waited for.
    pub handed_chunks: u64,
    /// Their sealed bytes.
    pub handed_bytes: u64,
}

struct Inner {
    options: Arc<ProfilingOptions>,
    recorder: Arc<Recorder>,
    handover: Arc<Handover>,
    state: Mutex<State>,
    course: Course,
}

#[derive(Default)]
struct State {
    /// What was known of this command when it was started.
    known: Option<Profile>,
    /// What is to be played when there is an image.
    chosen: Option<Chosen>,
    /// What did not come soon.
    fetching: Option<Fetching>,
    /// What is under way; dropping it ends it.
    chunks: Option<PrefetchHandle>,
    player: Option<JoinHandle<()>>,
}

/// A profile that is worth playing.
struct Chosen {
    profile: Profile,
    /// Whether this host has its chunks already; none while the chunk table is too short to say.
    is_near: Option<bool>,
}

impl ProfilingOptions {
    /// The profiles in these bytes, if they are the manifest's.
    pub(super) fn open(&self, bytes: &[u8]) -> Option<Profiles> {
        let opened = Profiles::open(bytes, &self.key, self.table.len());
        opened
            .inspect_err(|error| {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, manifest = %self.of.manifest, "profiles are not used: recording anew");
            })
            .ok()
    }
}

impl Profiling {
    /// A start whose chunks come from `below`.
    pub fn new(options: ProfilingOptions, below: Arc<dyn Tier>) -> Self {
        let handover = Handover::over(below, options.way);
        Self(Arc::new(Inner {
            options: Arc::new(options),
            recorder: Arc::new(Recorder::new()),
            handover: Arc::new(handover),
            state: Mutex::default(),
            course: Course::new(),
        }))
    }

    /// What the image must be read through.
    pub fn tier(&self) -> Arc<dyn Tier> {
        Arc::clone(&self.0.handover) as Arc<dyn Tier>
    }

    /// The listener that must be told of first touches.
    pub fn listener(&self) -> Arc<dyn TouchListener> {
        Arc::clone(&self.0.recorder) as Arc<dyn TouchListener>
    }

    /// Reads what is known, if it comes soon; says whether there is a forecast, which then brings the
    /// metadata too.
    pub async fn look(&self, profiles: Fetching) -> bool {
        let chosen = match profiles.soon().await {
            Ok(fetched) => self.0.choose(fetched).await,
            Err(late) => {
                self.0.lock().fetching = Some(late);
                return false;
            }
        };
        let foresees = chosen.is_some();
        self.0.lock().chosen = chosen;
        foresees
    }

    /// Plays what is known, as soon as it is there, and records until the workload is ready.
    pub fn begin(&self, image: &Arc<Image>) {
        let (inner, image) = (Arc::clone(&self.0), Arc::downgrade(image));
        let (chosen, fetching) = {
            let mut state = inner.lock();
            (state.chosen.take(), state.fetching.take())
        };
        if let Some(chosen) = chosen {
            inner.clone().play(&image, chosen);
        }
        if let Some(profiles) = fetching {
            let inner = Arc::clone(&inner);
            tokio::spawn(async move {
                if let Some(chosen) = inner.choose(profiles.outcome().await).await {
                    inner.play(&image, chosen);
                }
            });
        }
        tokio::spawn(async move {
            inner.course.is_ready(&inner.recorder).await;
            inner.end_recording();
            // Whether or not there is something to be learnt: nothing is remembered behind a start.
            let remembered = inner.handover.forget();
            if tokio::time::timeout(WRITE_MAX, inner.save(remembered)).await.is_err() {
                tracing::debug!("a profile could not be written in time");
            }
            inner.course.advance(Stage::Over);
        });
    }

    /// The workload has shown a sign of life: a line of output, say. The recording ends with the next pause.
    pub fn alive(&self) {
        self.0.course.advance(Stage::Alive);
    }

    /// The workload is ready, or at its end: nothing more is recorded or played.
    pub fn ready(&self) {
        self.0.course.advance(Stage::Ready);
    }

    /// What was counted so far.
    pub fn counts(&self) -> ProfilingCounts {
        self.0.handover.counts()
    }

    /// Waits until what was learnt is written down, or until `patience` is over.
    pub async fn saved(&self, patience: Duration) {
        self.0.course.is_over(patience).await;
    }
}

impl Inner {
    fn end_recording(&self) {
        self.recorder.close();
        let mut state = self.lock();
        state.chunks = None;
        if let Some(player) = state.player.take() {
            player.abort();
        }
        drop(state);
        self.handover.give_up();
    }

    /// What is known of this command, or else of the same program with other arguments, if it is worth playing.
    async fn choose(&self, bytes: Option<Bytes>) -> Option<Chosen> {
        let mut profiles = self.options.open(&bytes?)?;
        let known = profiles.take(&self.options.label.id);
        let profile = known.clone().or_else(|| akin(profiles, &self.options.label));
        self.lock().known = known;
        let profile = profile.filter(is_worth_playing)?;
        let is_near = match self.options.table.has_first(needed(&profile)) {
            true => Some(self.is_near(&profile).await),
            false => None,
        };
        Some(Chosen { profile, is_near })
    }

    /// Whether this host has the profile's chunks already.
    async fn is_near(&self, profile: &Profile) -> bool {
        let ProfilingOptions { shelf, of, table, sharing, .. } = &*self.options;
        *sharing == Sharing::Kept
            && profile.bundle.is_some()
            && are_near(shelf.as_ref(), of, table, &foretold(profile)).await
    }

    fn play(self: Arc<Self>, image: &Weak<Image>, chosen: Chosen) {
        let Chosen { profile, is_near } = chosen;
        match is_near {
            Some(is_near) => self.play_now(image, profile, is_near),
            None => self.play_later(image, profile),
        }
    }

    /// Plays what the chunk table does not have yet as soon as it does, and the metadata before that.
    fn play_later(self: Arc<Self>, image: &Weak<Image>, profile: Profile) {
        let Some(player) = self.player(image) else { return };
        let mut state = self.lock();
        if !self.recorder.is_open() {
            return;
        }
        let chunks = foretold(&profile);
        player.foretell(&chunks);
        player.metadata(&chunks);
        let (inner, image) = (Arc::clone(&self), Weak::clone(image));
        state.player = Some(tokio::spawn(async move {
            let table = Arc::clone(&inner.options.table);
            if table.reach_chunks(needed(&profile), FETCH_MAX).await.is_ok() {
                let is_near = inner.is_near(&profile).await;
                inner.play_now(&image, profile, is_near);
            }
        }));
    }

    fn player(&self, image: &Weak<Image>) -> Option<Player> {
        let (handover, options) = (Arc::clone(&self.handover), Arc::clone(&self.options));
        Some(Player { image: image.upgrade()?, handover, options })
    }

    fn play_now(self: Arc<Self>, image: &Weak<Image>, profile: Profile, is_near: bool) {
        let Some(player) = self.player(image) else { return };
        if profile.bundle.is_some() {
            // There is a bundle: chunks need not be remembered for another.
            self.handover.forget();
        }
        let chunks = foretold(&profile);
        let bundle = profile.bundle.filter(|_| !is_near);
        let mut state = self.lock();
        if !self.recorder.is_open() {
            return;
        }
        player.foretell(&chunks);
        let bundle = bundle.and_then(|bundle| player.open(bundle).inspect_err(not_used).ok());
        if let Some(bundle) = &bundle {
            // Nothing is near: the very first reads wait for the bundle.
            player.expect_first(bundle);
        }
        let inner = Arc::clone(&self);
        state.player = Some(tokio::spawn(async move { inner.play_with(player, chunks, bundle).await }));
    }

    async fn play_with(&self, player: Player, mut chunks: Vec<u32>, bundle: Option<OpenedBundle>) {
        if let Some(bundle) = bundle {
            let all: HashSet<u32> = chunks.iter().copied().collect();
            let bundled: HashSet<u32> = bundle.chunks().iter().copied().collect();
            match player.bundle(bundle, &all).await {
                Ok(()) => chunks.retain(|chunk| !bundled.contains(chunk)),
                Err(error) => not_used(&error),
            }
        }
        let handle = player.chunks(&chunks);
        let mut state = self.lock();
        if self.recorder.is_open() {
            state.chunks = Some(handle);
        }
    }

    async fn save(&self, remembered: Remembered) {
        let (order, known) = (self.recorder.order(), self.lock().known.take());
        let (options, below) = (Arc::clone(&self.options), Arc::clone(self.handover.below()));
        Lesson { options, below }.write(&order, known, remembered).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Profiling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profiling").field("label", &self.0.options.label).finish_non_exhaustive()
    }
}

/// How many chunks the table must have for a profile to be played.
fn needed(profile: &Profile) -> usize {
    let bundled = profile.bundle.as_ref().map_or(0, |bundle| behind(&bundle.chunks));
    behind(&foretold(profile)).max(bundled)
}

fn not_used(error: &BundleFailed) {
    tracing::debug!(error = error as &dyn std::error::Error, "a bundle is not used");
}

/// The youngest profile of the same program: most of what a program touches does not depend on its arguments.
fn akin(profiles: Profiles, label: &Label) -> Option<Profile> {
    fn program(label: &Label) -> Option<&str> {
        label.text.split(' ').next()
    }
    let same = profiles.0.into_iter().filter(|profile| program(&profile.label) == program(label));
    same.max_by_key(|profile| profile.recorded_seconds)
}
