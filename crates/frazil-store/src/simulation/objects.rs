//! An object store in memory that takes its time, fails before and after it did what it was asked, lets its callers
//! crash at any request, shows listings that are late, and has a clock of its own that is not quite steady.
//!
//! Invariant: what a request does, it does at one instant; the world is looked at after each.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::time::Instant;

use super::dice::Dice;
use super::world::World;

/// How late a listing may be.
pub(super) const LATE: Duration = Duration::from_secs(60);

/// How far the store's clock is off at the most, either way.
const WOBBLE_MS: u32 = 2000;

/// What may happen to a request, and how often in a thousand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) fails: u32,
    pub(super) crashes: u32,
    pub(super) stalls: u32,
    /// How long a request that stalls takes to arrive.
    pub(super) longest_stall: Duration,
}

impl Weather {
    /// Nothing happens.
    pub(super) const CALM: Self = Self { fails: 0, crashes: 0, stalls: 0, longest_stall: Duration::ZERO };
}

/// An object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    e_tag: u64,
    written_ms: i64,
    listed_from: Instant,
}

/// All objects, and what listings still show of deleted ones.
#[derive(Debug, Default)]
pub(super) struct Heap {
    pub(super) objects: BTreeMap<String, Object>,
    gone: Vec<(String, Object, Instant)>,
    next_e_tag: u64,
}

/// A crash that is planned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Crash {
    /// Before the request of this number, from 0.
    Before(u32),
    /// After it took effect.
    After(u32),
}

/// One actor's connection to the store.
#[derive(Clone, Debug)]
pub(super) struct SimulatedStore {
    pub(super) world: Arc<World>,
    pub(super) actor: &'static str,
    pub(super) weather: Weather,
    /// Told when the actor crashes.
    pub(super) crash: Arc<tokio::sync::Notify>,
    /// When it is to crash, beside what the weather does.
    pub(super) planned: Option<Crash>,
    requests: Arc<AtomicU32>,
}

/// What is asked, for the trace.
type Asked<'a> = (&'static str, &'a str);

impl SimulatedStore {
    pub(super) fn new(world: &Arc<World>, actor: &'static str, weather: Weather) -> Self {
        let (world, crash, requests) = (Arc::clone(world), Arc::default(), Arc::default());
        Self { world, actor, weather, crash, planned: None, requests }
    }

    /// A request: it arrives after a while, does what it does, and its answer may be lost.
    async fn request<T>(
        &self,
        (word, path): Asked<'_>,
        effect: impl FnOnce(&mut Heap, &mut Dice) -> Result<T>,
    ) -> Result<T> {
        let (pause, fails_before, fails_after, crashes_before, crashes_after) =
            self.world.with_dice(|dice| {
                // Requests are late most often where that hurts most.
                let worse = if word == "put" && path.starts_with("names/") { 10 } else { 1 };
                let stalls = dice.permille(self.weather.stalls * worse);
                let longest = if stalls { self.weather.longest_stall } else { Duration::from_millis(200) };
                let pause = dice.between(Duration::from_millis(1), longest);
                let mut happens = |chances| dice.permille(chances);
                let (fails, crashes) = (self.weather.fails, self.weather.crashes);
                (pause, happens(fails), happens(fails), happens(crashes), happens(crashes))
            });
        let number = self.requests.fetch_add(1, Relaxed);
        tokio::time::sleep(pause).await;
        if crashes_before || self.planned == Some(Crash::Before(number)) {
            self.end((word, path), "crashes before").await;
        }
        if fails_before {
            self.world.note(self.actor, (word, path), "fails before");
            return Err(fault());
        }
        let result = self.world.act(effect);
        let outcome = match &result {
            Ok(_) => "ok",
            Err(Error::NotFound { .. }) => "not found",
            Err(_) => "refused",
        };
        self.world.note(self.actor, (word, path), outcome);
        self.world.check(word, path);
        if crashes_after || self.planned == Some(Crash::After(number)) {
            self.end((word, path), "crashes after").await;
        }
        if fails_after {
            self.world.note(self.actor, (word, path), "fails after");
            return Err(fault());
        }
        result
    }

    /// The process is gone: nothing of it goes on.
    async fn end(&self, asked: Asked<'_>, how: &'static str) {
        self.world.note(self.actor, asked, how);
        self.crash.notify_one();
        std::future::pending::<()>().await;
    }
}

fn fault() -> Error {
    Error::Generic { store: "simulated", source: "a fault".into() }
}

fn not_found(path: &str) -> Error {
    Error::NotFound { path: path.to_owned(), source: "it is not there".into() }
}

impl Heap {
    fn put(
        &mut self,
        path: &str,
        bytes: Bytes,
        mode: &PutMode,
        dice: &mut Dice,
        now: Now,
    ) -> Result<PutResult> {
        let present = self.objects.get(path);
        let refused = match mode {
            PutMode::Overwrite => false,
            PutMode::Create if present.is_some() => {
                return Err(Error::AlreadyExists { path: path.to_owned(), source: "it is there".into() });
            }
            PutMode::Create => false,
            PutMode::Update(version) => {
                present.map(|object| object.e_tag.to_string()) != version.e_tag || present.is_none()
            }
        };
        if refused {
            return Err(Error::Precondition { path: path.to_owned(), source: "it is another".into() });
        }
        self.next_e_tag += 1;
        let e_tag = self.next_e_tag;
        // What was listed stays listed; what is new comes late.
        let late = dice.between(Duration::ZERO, LATE);
        let listed_from = present.map_or(now.instant + late, |object| object.listed_from);
        let wobble = i64::from(dice.below(2 * WOBBLE_MS)) - i64::from(WOBBLE_MS);
        let object = Object { bytes, e_tag, written_ms: now.ms + wobble, listed_from };
        self.objects.insert(path.to_owned(), object);
        Ok(PutResult { e_tag: Some(e_tag.to_string()), version: None, extensions: Default::default() })
    }

    fn delete(&mut self, path: &str, dice: &mut Dice, now: Now) {
        if let Some(object) = self.objects.remove(path) {
            self.gone.push((path.to_owned(), object, now.instant + dice.between(Duration::ZERO, LATE)));
        }
    }

    fn list(&mut self, prefix: &str, now: Now) -> Vec<ObjectMeta> {
        self.gone.retain(|(_, _, until)| *until > now.instant);
        let inside = format!("{prefix}/")..format!("{prefix}0");
        let present = self.objects.range(inside.clone());
        let mut listed: BTreeMap<&String, &Object> =
            present.filter(|(_, object)| object.listed_from <= now.instant).collect();
        for (path, object, _) in self.gone.iter().filter(|(path, ..)| inside.contains(path)) {
            listed.entry(path).or_insert(object);
        }
        listed.into_iter().map(|(path, object)| meta(path, object)).collect()
    }
}

/// An instant, and what the store's clock says then, but for its wobble.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) ms: i64,
}

fn meta(path: &str, object: &Object) -> ObjectMeta {
    ObjectMeta {
        location: Path::parse(path).unwrap(),
        last_modified: DateTime::<Utc>::from_timestamp_millis(object.written_ms).unwrap(),
        size: object.bytes.len() as u64,
        e_tag: Some(object.e_tag.to_string()),
        version: None,
    }
}

impl fmt::Display for SimulatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated")
    }
}

#[async_trait]
impl ObjectStore for SimulatedStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let now = || self.world.now();
        self.request(("put", path.as_ref()), |heap, dice| {
            heap.put(path.as_ref(), payload.into(), &options.mode, dice, now())
        })
        .await
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(fault())
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let word = if options.head { "head" } else { "get" };
        let object = self
            .request((word, path.as_ref()), |heap, _| {
                heap.objects.get(path.as_ref()).cloned().ok_or_else(|| not_found(path.as_ref()))
            })
            .await?;
        let len = object.bytes.len() as u64;
        let meta = meta(path.as_ref(), &object);
        let payload = GetResultPayload::Stream(stream::once(async move { Ok(object.bytes) }).boxed());
        Ok(GetResult {
            payload,
            meta,
            range: 0..len,
            attributes: Default::default(),
            extensions: Default::default(),
        })
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let own = Arc::new(self.clone());
        paths
            .then(move |path| {
                let own = Arc::clone(&own);
                async move {
                    let path = path?;
                    own.request(("delete", path.as_ref()), |heap, dice| {
                        heap.delete(path.as_ref(), dice, own.world.now());
                        Ok(())
                    })
                    .await?;
                    Ok(path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.map(ToString::to_string).unwrap_or_default();
        let own = self.clone();
        async move {
            let listed =
                own.request(("list", &prefix), |heap, _| Ok(heap.list(&prefix, own.world.now()))).await;
            match listed {
                Ok(listed) => stream::iter(listed.into_iter().map(Ok)).boxed(),
                Err(error) => stream::once(async move { Err(error) }).boxed(),
            }
        }
        .flatten_stream()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.map(ToString::to_string).unwrap_or_default();
        let listed =
            self.request(("list", &prefix), |heap, _| Ok(heap.list(&prefix, self.world.now()))).await?;
        let (mut common_prefixes, mut objects) = (std::collections::BTreeSet::new(), Vec::new());
        for meta in listed {
            let rest = meta.location.as_ref().get(prefix.len() + 1..).unwrap_or_default();
            match rest.split_once('/') {
                Some((directory, _)) => {
                    common_prefixes.insert(Path::parse(format!("{prefix}/{directory}")).unwrap());
                }
                None => objects.push(meta),
            }
        }
        Ok(ListResult {
            common_prefixes: common_prefixes.into_iter().collect(),
            objects,
            extensions: Default::default(),
        })
    }

    async fn copy_opts(&self, from: &Path, to: &Path, _: CopyOptions) -> Result<()> {
        self.request(("copy", from.as_ref()), |heap, dice| {
            let object = heap.objects.get(from.as_ref()).cloned().ok_or_else(|| not_found(from.as_ref()))?;
            heap.put(to.as_ref(), object.bytes, &PutMode::Overwrite, dice, self.world.now()).map(drop)
        })
        .await
    }
}

/// A heap behind a lock; one thread uses it, so nobody ever waits.
pub(super) type Shared = Mutex<Heap>;
