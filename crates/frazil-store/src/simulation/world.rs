//! Everything of one schedule: the objects, the chance, what is known of manifests, who reads what; and the law.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use frazil_format::{ManifestId, RootId};
use serde_json::Value;
use tokio::time::Instant;

use super::dice::Dice;
use super::objects::{Heap, Now, Shared};

/// When every schedule begins, by the store's clock, in milliseconds since 1970.
const EPOCH_MS: i64 = 1_700_000_000_000;

/// A manifest's chunks and their lengths.
type Chunks = Arc<Vec<(String, usize)>>;

#[derive(Debug)]
pub(super) struct World {
    heap: Shared,
    dice: Mutex<Dice>,
    started: Instant,
    /// The chunks of every manifest that was ever made, with their lengths.
    manifests: Mutex<HashMap<String, Chunks>>,
    /// Who holds a reference: its root and manifest.
    holds: Mutex<BTreeMap<u64, (RootId, ManifestId)>>,
    next_hold: Mutex<u64>,
    /// The roots whose readers were told to end.
    told: Mutex<BTreeMap<RootId, Instant>>,
    verdict: Mutex<Option<String>>,
    trace: Option<Mutex<Vec<String>>>,
    /// A digest of all that happened.
    digest: Mutex<blake3::Hasher>,
}

/// A reference that is held until this is dropped.
pub(super) struct Hold {
    world: Arc<World>,
    number: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.world.holds.lock().unwrap().remove(&self.number);
    }
}

impl World {
    pub(super) fn new(seed: u64, traced: bool) -> Arc<Self> {
        Arc::new(Self {
            heap: Mutex::new(Heap::default()),
            dice: Mutex::new(Dice::new(seed)),
            started: Instant::now(),
            manifests: Mutex::default(),
            holds: Mutex::default(),
            next_hold: Mutex::default(),
            told: Mutex::default(),
            verdict: Mutex::default(),
            trace: traced.then(Mutex::default),
            digest: Mutex::new(blake3::Hasher::new()),
        })
    }

    pub(super) fn now(&self) -> Now {
        let instant = Instant::now();
        let elapsed = instant.saturating_duration_since(self.started);
        Now { instant, ms: EPOCH_MS + elapsed.as_millis() as i64 }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn with_dice<T>(&self, throw: impl FnOnce(&mut Dice) -> T) -> T {
        throw(&mut self.dice.lock().unwrap())
    }

    pub(super) fn act<T>(&self, effect: impl FnOnce(&mut Heap, &mut Dice) -> T) -> T {
        effect(&mut self.heap.lock().unwrap(), &mut self.dice.lock().unwrap())
    }

    pub(super) fn note(&self, actor: &str, (word, path): (&str, &str), outcome: &str) {
        let line = format!("{:>9} ms  {actor:<12} {word:<7} {path}: {outcome}", self.elapsed().as_millis());
        self.digest.lock().unwrap().update(line.as_bytes());
        if let Some(trace) = &self.trace {
            trace.lock().unwrap().push(line);
        }
    }

    pub(super) fn digest(&self) -> blake3::Hash {
        self.digest.lock().unwrap().finalize()
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.trace.as_ref().map(|trace| trace.lock().unwrap().clone()).unwrap_or_default()
    }

    /// Makes a manifest's chunks known to the law.
    pub(super) fn know(&self, id: &ManifestId, chunks: Vec<(String, usize)>) {
        self.manifests.lock().unwrap().insert(id.to_string(), Arc::new(chunks));
    }

    /// Makes known that another manifest has the same chunks.
    pub(super) fn know_alike(&self, id: &ManifestId, other: &ManifestId) {
        let mut manifests = self.manifests.lock().unwrap();
        let chunks = Arc::clone(&manifests[&other.to_string()]);
        manifests.insert(id.to_string(), chunks);
    }

    pub(super) fn hold(self: &Arc<Self>, root: RootId, manifest: ManifestId) -> Hold {
        let mut next = self.next_hold.lock().unwrap();
        *next += 1;
        self.holds.lock().unwrap().insert(*next, (root, manifest));
        Hold { world: Arc::clone(self), number: *next }
    }

    pub(super) fn tell_readers_to_end(&self, root: RootId) {
        self.told.lock().unwrap().insert(root, Instant::now());
    }

    /// Whether the readers of a root were told to end a short while ago.
    pub(super) fn is_told_to_end(&self, root: RootId) -> bool {
        let told = self.told.lock().unwrap();
        told.get(&root).is_some_and(|told| told.elapsed() < Duration::from_secs(180))
    }

    pub(super) fn verdict(&self) -> Option<String> {
        self.verdict.lock().unwrap().clone()
    }

    pub(super) fn condemn(&self, broken: String) {
        self.verdict.lock().unwrap().get_or_insert(broken);
    }

    /// The law, after a request that may have broken it.
    pub(super) fn check(&self, word: &str, path: &str) {
        let concerns = match word {
            "put" => path.starts_with("names/") || path.contains("/manifests/"),
            "delete" => path.contains("/chunks/") || path.contains("/manifests/"),
            _ => false,
        };
        if !concerns || self.verdict.lock().unwrap().is_some() {
            return;
        }
        if let Err(broken) = self.law(path) {
            let at = self.elapsed().as_millis();
            *self.verdict.lock().unwrap() = Some(format!("at {at} ms, after {word} {path}: {broken}"));
        }
    }

    fn law(&self, path: &str) -> Result<(), String> {
        let heap = self.heap.lock().unwrap();
        for (name, object) in heap.objects.range("names/".to_owned().."names0".to_owned()) {
            let record: Value = serde_json::from_slice(&object.bytes).map_err(|error| error.to_string())?;
            if let (Some(root), Some(manifest)) = (record["root"].as_str(), record["manifest"].as_str()) {
                self.is_whole(&heap, root, manifest).map_err(|lost| format!("{name} has lost {lost}"))?;
            }
        }
        for (root, manifest) in self.holds.lock().unwrap().values() {
            let (root, manifest) = (root.to_string(), manifest.to_string());
            self.is_whole(&heap, &root, &manifest).map_err(|lost| format!("a reader has lost {lost}"))?;
        }
        // A manifest that was put is whole, whether a name refers to it or not.
        if let Some((root, manifest)) =
            path.strip_prefix("roots/").and_then(|path| path.split_once("/manifests/"))
            && heap.objects.contains_key(path)
            && state(&heap, root).as_deref() != Some("deleted")
        {
            self.is_whole(&heap, root, manifest).map_err(|lost| format!("a manifest lacks {lost}"))?;
        }
        Ok(())
    }

    fn is_whole(&self, heap: &Heap, root: &str, manifest: &str) -> Result<(), String> {
        let path = format!("roots/{root}/manifests/{manifest}");
        if !heap.objects.contains_key(&path) {
            return Err(path);
        }
        let chunks = self.manifests.lock().unwrap().get(manifest).cloned().ok_or("an unknown manifest")?;
        for (id, len) in chunks.iter() {
            let path = format!("roots/{root}/chunks/{}/{id}", &id[..2]);
            if heap.objects.get(&path).is_none_or(|object| object.bytes.len() != *len) {
                return Err(path);
            }
        }
        Ok(())
    }

    /// The roots that are not deleted, and what else than its record is left of those that are.
    pub(super) fn remains(&self) -> (Vec<String>, Vec<String>) {
        let heap = self.heap.lock().unwrap();
        let (mut alive, mut rests) = (Vec::new(), Vec::new());
        for path in heap.objects.range("roots/".to_owned().."roots0".to_owned()).map(|(path, _)| path) {
            let root = path.split('/').nth(1).unwrap_or_default();
            let is_deleted = state(&heap, root).as_deref() == Some("deleted");
            if path.ends_with("/state.json") {
                if !is_deleted {
                    alive.push(root.to_owned());
                }
            } else if is_deleted {
                rests.push(path.clone());
            }
        }
        (alive, rests)
    }
}

fn state(heap: &Heap, root: &str) -> Option<String> {
    let object = heap.objects.get(&format!("roots/{root}/state.json"))?;
    let record: Value = serde_json::from_slice(&object.bytes).ok()?;
    record["state"].as_str().map(str::to_owned)
}
