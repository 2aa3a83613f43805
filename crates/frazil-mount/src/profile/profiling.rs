//! One start of an image, from what is known of earlier ones to what this one taught.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use frazil_cache::host::{HostError, ProfileShelf};
use frazil_cache::{Reference, Tier};
use frazil_format::bounds::MAX_PROFILES;
use frazil_format::{Bundle, Chunk, FormatError, Label, Profile, ProfileKey, Profiles};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::build::{self, Workshop};
use super::handover::{Handover, Remembered};
use super::learn::{foretold, is_worth_learning, is_worth_playing, learn};
use super::player::{BundleFailed, OpenedBundle, Player, are_near, behind};
use super::recorder::Recorder;
use crate::{ChunkTable, Image, PrefetchHandle, TouchListener};

/// A start is recorded for so long at the most.
const AGE_MAX: Duration = Duration::from_secs(30);

/// Once the workload has shown a sign of life, the first pause of this length in first touches ends the recording.
const PAUSE: Duration = Duration::from_millis(500);

/// How long an image waits for its profiles once its manifest is there: both were asked for at the same time.
const HEAD_START: Duration = Duration::from_millis(10);

/// How long profiles may take to come: later, the start is over.
const FETCH_MAX: Duration = Duration::from_secs(5);

/// How long writing may take.
const SAVE_MAX: Duration = Duration::from_secs(60);

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

/// The profiles of a manifest on their way, begun before it is known who opens them.
#[derive(Debug)]
pub struct Fetching(JoinHandle<Result<Option<Bytes>, HostError>>);

/// One start that is being recorded, and helped by what is known. Clones are the same start.
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
    stage: watch::Sender<Stage>,
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

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
enum Stage {
    Starting,
    /// It has shown a sign of life.
    Alive,
    /// It is ready: nothing more is recorded.
    Ready,
    /// What it taught is written down, or could not be.
    Over,
}

impl Fetching {
    /// Those that came beside the manifest, unless this host has its own.
    pub fn known(shelf: Arc<dyn ProfileShelf>, of: Reference, profiles: Option<Bytes>) -> Self {
        Self(tokio::spawn(async move { Ok(shelf.own_profiles(&of).await.or(profiles)) }))
    }

    /// Asks for the profiles of a manifest.
    pub fn start(shelf: Arc<dyn ProfileShelf>, of: Reference) -> Self {
        Self(tokio::spawn(async move { shelf.profiles(&of).await }))
    }

    async fn outcome(self) -> Option<Bytes> {
        tokio::time::timeout(FETCH_MAX, self.0).await.ok().and_then(outcome)
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
            stage: watch::Sender::new(Stage::Starting),
        }))
    }

    /// What the image must be read through.
    pub fn tier(&self) -> Arc<dyn Tier> {
        Arc::clone(&self.0.handover) as Arc<dyn Tier>
    }

    /// Who must be told of first touches.
    pub fn listener(&self) -> Arc<dyn TouchListener> {
        Arc::clone(&self.0.recorder) as Arc<dyn TouchListener>
    }

    /// Reads what is known, if it comes soon; says whether there is a forecast, by which the metadata comes too.
    pub async fn look(&self, mut profiles: Fetching) -> bool {
        let Ok(fetched) = tokio::time::timeout(HEAD_START, &mut profiles.0).await else {
            self.0.lock().fetching = Some(profiles);
            return false;
        };
        let chosen = self.0.choose(outcome(fetched)).await;
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
            inner.await_readiness().await;
            inner.end_recording();
            // Whether or not there is something to be learnt: nothing is remembered behind a start.
            let remembered = inner.handover.forget();
            if tokio::time::timeout(SAVE_MAX, inner.save(remembered)).await.is_err() {
                tracing::debug!("a profile could not be written in time");
            }
            inner.advance(Stage::Over);
        });
    }

    /// The workload has shown a sign of life: a line of output, say. The recording ends with the next pause.
    pub fn alive(&self) {
        self.0.advance(Stage::Alive);
    }

    /// The workload is ready, or at its end: nothing more is recorded or played.
    pub fn ready(&self) {
        self.0.advance(Stage::Ready);
    }

    /// What was counted so far.
    pub fn counts(&self) -> ProfilingCounts {
        self.0.handover.counts()
    }

    /// Waits until what was learnt is written down, or for so long.
    pub async fn saved(&self, patience: Duration) {
        let mut stage = self.0.stage.subscribe();
        let over = stage.wait_for(|stage| *stage == Stage::Over);
        // What is not written then is given up when the process ends.
        let _ = tokio::time::timeout(patience, over).await;
    }
}

impl Inner {
    fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let forward = to > *stage;
            if forward {
                *stage = to;
            }
            forward
        });
    }

    /// Waits for the word, for a pause after a sign of life, or until the recording is old.
    async fn await_readiness(&self) {
        let mut stage = self.stage.subscribe();
        let ready = async {
            if stage.wait_for(|stage| *stage >= Stage::Alive).await.is_err() {
                return;
            }
            let paused = async {
                while self.recorder.quiet() < PAUSE {
                    tokio::time::sleep(PAUSE.saturating_sub(self.recorder.quiet())).await;
                }
            };
            tokio::select! {
                () = paused => {}
                _ = stage.wait_for(|stage| *stage >= Stage::Ready) => {}
            }
        };
        let _ = tokio::time::timeout(AGE_MAX, ready).await;
    }

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
        let mut profiles = self.open(&bytes?)?;
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
            // There is one: chunks need not be remembered for another.
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
            // Nothing is near: the very first reads wait for it.
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

    fn open(&self, bytes: &[u8]) -> Option<Profiles> {
        let opened = Profiles::open(bytes, &self.options.key, self.options.table.len());
        opened
            .inspect_err(|error| {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, manifest = %self.options.of.manifest, "profiles are not used: recording anew");
            })
            .ok()
    }

    /// Writes down what the start taught, on top of what is there by now: the last of several writers wins.
    async fn save(&self, remembered: Remembered) {
        let (order, known) = (self.recorder.order(), self.lock().known.take());
        let table = &self.options.table;
        if table.complete(SAVE_MAX).await.is_err() {
            return;
        }
        let table: Arc<[Chunk]> = table.first(table.len()).into();
        if !is_worth_learning(known.as_ref(), &order, &table, dice()) {
            return;
        }
        if let Err(error) = self.learn_and_put(&order, table, remembered).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "a profile is not kept");
        }
    }

    async fn learn_and_put(
        &self,
        order: &[u32],
        table: Arc<[Chunk]>,
        remembered: Remembered,
    ) -> Result<(), HostError> {
        let ProfilingOptions { label, of, key, shelf, .. } = &*self.options;
        let mut profiles = shelf.profiles(of).await?.and_then(|bytes| self.open(&bytes)).unwrap_or_default();
        let mut profile = learn(profiles.take(&label.id), label, order, &table, now_seconds());
        let mut useless = Vec::new();
        if let Some(chunks) = build::wanted(&profile, &table) {
            let below = Arc::clone(self.handover.below());
            let workshop =
                Workshop { options: Arc::clone(&self.options), table: Arc::clone(&table), remembered, below };
            match workshop.make(chunks, now_seconds()).await {
                Ok(bundle) => useless.extend(profile.bundle.replace(bundle)),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(error, "a profile goes without a bundle");
                }
            }
        }
        profiles.put(profile);
        let bytes = seal(&mut profiles, key, table.len(), &mut useless);
        shelf.put_profiles(of, bytes.map_err(refused)?.into()).await?;
        for bundle in useless {
            // What stays is deleted with the manifest.
            let _ = shelf.delete_bundle(of, &bundle.id).await;
        }
        Ok(())
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

fn outcome(fetched: Result<Result<Option<Bytes>, HostError>, tokio::task::JoinError>) -> Option<Bytes> {
    match fetched {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "no profiles");
            None
        }
        Err(_) => None,
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

/// The profiles as bytes; those that were not used for longest go until they fit, with their bundles.
fn seal(
    profiles: &mut Profiles,
    key: &ProfileKey,
    chunk_count: usize,
    useless: &mut Vec<Bundle>,
) -> Result<Vec<u8>, FormatError> {
    loop {
        if profiles.0.len() as u64 <= MAX_PROFILES {
            match profiles.seal(key, chunk_count) {
                Err(FormatError::TooLong { .. }) if profiles.0.len() > 1 => {}
                sealed => return sealed,
            }
        }
        let oldest = profiles.0.iter().min_by_key(|profile| profile.recorded_seconds);
        let Some(oldest) = oldest.map(|profile| profile.label.id) else {
            return profiles.seal(key, chunk_count);
        };
        useless.extend(profiles.take(&oldest).and_then(|profile| profile.bundle));
    }
}

fn refused(error: FormatError) -> HostError {
    let class = frazil_cache::ErrorClass::Denied;
    HostError::LookUp { what: "a profile".to_owned(), class, source: Arc::new(error) }
}

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// Any number: the clock's fine digits are random enough to choose one start in a few.
fn dice() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_micros())
}
