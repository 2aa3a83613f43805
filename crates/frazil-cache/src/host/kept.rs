//! Names and manifests that stay on the host's disk, so that images start while the origin cannot be reached.
//!
//! ```text
//! <directory>/manifests/<root>/<manifest id>          as it is in the store; verified whenever it is read
//! <directory>/references/<BLAKE3 of tenant, 0, name>  JSON: tenant, name and what it stood for
//! ```
//!
//! Invariant: a kept manifest is the one that its id names; what is handed on while it comes is the reader's
//! to verify, and is kept when all of it has come. The origin is asked for a name every time; the last known
//! answer is given only when the origin gives none, and says that it is the last known.

mod fetches;
pub(super) mod files;
mod references;
pub(super) mod streams;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use frazil_format::{ManifestId, RootId, SealedFront};
use frazil_store::{ErrorClass, ImageName, MANIFEST_FRONT_LEN, MAX_MANIFEST_BYTES};
use futures::stream::{StreamExt, TryStreamExt, once};
use tokio::sync::Semaphore;

use super::catalog::verified;
use super::stats::CatalogStats;
use super::{Catalog, Freshness, HostError, ManifestBytes, Named};
use fetches::{Fetch, Fetches};
use files::{Files, Outcome};

/// How names and manifests are kept.
#[derive(Clone, Debug)]
pub struct KeptOptions {
    /// Where. Made if need be.
    pub directory: PathBuf,
    /// How long the origin may take to say what a name stands for before the last known answer is given.
    pub patience: Duration,
    /// The most bytes of manifests that are kept; the ones that were not used for longest go.
    pub manifest_bytes: u64,
}

impl KeptOptions {
    /// Keeps them in this directory; waits for three seconds (a mount that waits longer feels broken), and
    /// keeps 1 GiB (a thousand manifests of images of several gigabytes).
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), patience: Duration::from_secs(3), manifest_bytes: 1 << 30 }
    }
}

/// A catalog that remembers. A clone is the same catalog.
#[derive(Clone, Debug)]
pub struct KeptCatalog {
    below: Arc<dyn Catalog>,
    patience: Duration,
    references: Files,
    manifests: Files,
    fetches: Fetches,
    /// Held by whoever has a whole kept manifest in memory, until it is verified.
    reading: Arc<Semaphore>,
    counters: Arc<Counters>,
}

/// How many kept manifests are read as a whole at once.
const MANIFESTS_AT_ONCE: usize = 4;

#[derive(Debug, Default)]
struct Counters {
    last_known_references: AtomicU64,
    manifest_hits: AtomicU64,
    manifest_fetches: AtomicU64,
    damaged: AtomicU64,
}

impl KeptCatalog {
    /// Keeps what `below` says. A directory that cannot be used is no error: nothing is kept then.
    pub fn new(below: Arc<dyn Catalog>, options: &KeptOptions) -> Self {
        let manifests = Files::new(options.directory.join("manifests"), options.manifest_bytes);
        Self {
            below,
            patience: options.patience,
            references: Files::new(options.directory.join("references"), references::MAX_BYTES),
            manifests,
            fetches: Fetches::default(),
            reading: Arc::new(Semaphore::new(MANIFESTS_AT_ONCE)),
            counters: Arc::default(),
        }
    }

    /// What was counted so far.
    pub fn stats(&self) -> CatalogStats {
        CatalogStats {
            last_known_references: self.counters.last_known_references.load(Relaxed),
            manifest_hits: self.counters.manifest_hits.load(Relaxed),
            manifest_fetches: self.counters.manifest_fetches.load(Relaxed),
            damaged: self.counters.damaged.load(Relaxed),
        }
    }

    /// What the origin said when it last could.
    async fn last_known(&self, tenant: &str, name: &ImageName) -> Option<Named> {
        let bytes =
            match self.references.read(&references::file_name(tenant, name), references::MAX_LEN).await {
                Outcome::Found(bytes) => bytes,
                Outcome::Absent => return None,
            };
        match references::decode(&bytes, tenant, name) {
            Some(reference) => {
                self.counters.last_known_references.fetch_add(1, Relaxed);
                Some(Named { reference, freshness: Freshness::LastKnown })
            }
            None => {
                self.damaged(&self.references, &references::file_name(tenant, name)).await;
                None
            }
        }
    }

    async fn remember(&self, tenant: &str, name: &ImageName, named: Option<&Named>) {
        let file_name = references::file_name(tenant, name);
        match named {
            Some(named) => {
                let text = references::encode(tenant, name, named.reference);
                self.references.write(&file_name, text).await;
            }
            // The name stands for nothing now: what it stood for must not come back when the origin is away.
            None => self.references.remove(&file_name).await,
        }
    }

    async fn damaged(&self, files: &Files, name: &str) {
        self.counters.damaged.fetch_add(1, Relaxed);
        tracing::warn!(file = %files.path(name).display(), "a kept file is damaged: removed");
        files.remove(name).await;
    }

    /// The manifest that is kept, verified as a whole.
    async fn kept_manifest(&self, root: RootId, id: &ManifestId) -> Option<Bytes> {
        let file = file_name(root, id);
        let _reading = self.reading.acquire().await.ok()?;
        let Outcome::Found(bytes) = self.manifests.read(&file, MAX_MANIFEST_BYTES).await else { return None };
        match verified(id, bytes) {
            Ok(bytes) => Some(bytes),
            Err(_) => {
                self.damaged(&self.manifests, &file).await;
                None
            }
        }
    }

    /// The front of the kept manifest, verified as far as a front can be, and the length of the whole.
    async fn kept_front(&self, root: RootId, id: &ManifestId) -> Option<(u64, Bytes)> {
        let front = self.manifests.read_front(&file_name(root, id), MANIFEST_FRONT_LEN).await?;
        let read = SealedFront::read(id, &front).ok().flatten()?;
        Some((read.total_len(), front))
    }

    /// A manifest whose front is here; the rest comes from the kept manifest, or from the origin if that is
    /// damaged.
    fn behind(&self, front: Bytes, len: u64, root: RootId, id: &ManifestId) -> ManifestBytes {
        let (kept, id, from) = (self.clone(), *id, front.len() as u64);
        let rest = async move {
            if from >= len {
                return Ok(futures::stream::empty().boxed());
            }
            match kept.kept_manifest(root, &id).await {
                Some(bytes) => Ok(ManifestBytes::of_whole(&bytes, from).bytes),
                None => kept.fetch(root, &id).from(from).await.map(|rest| rest.bytes),
            }
        };
        let front = once(std::future::ready(Ok(front)));
        ManifestBytes { len, bytes: front.chain(once(rest).try_flatten()).boxed() }
    }

    fn fetch(&self, root: RootId, id: &ManifestId) -> Fetch {
        let kept = (self.manifests.clone(), file_name(root, id));
        let counters = Arc::clone(&self.counters);
        let asked = move || {
            counters.manifest_fetches.fetch_add(1, Relaxed);
        };
        self.fetches.join(root, id, Arc::clone(&self.below), kept, asked)
    }
}

fn file_name(root: RootId, id: &ManifestId) -> String {
    format!("{root}/{id}")
}

#[async_trait]
impl Catalog for KeptCatalog {
    async fn reference(&self, tenant: &str, name: &ImageName) -> Result<Option<Named>, HostError> {
        let mut asked = std::pin::pin!(self.below.reference(tenant, name));
        let answer = match tokio::time::timeout(self.patience, &mut asked).await {
            Ok(answer) => answer,
            Err(_) => {
                if let Some(known) = self.last_known(tenant, name).await {
                    tracing::warn!(%name, origin = %self.below, "no answer yet: the last known one is given");
                    return Ok(Some(known));
                }
                asked.await
            }
        };
        match answer {
            Err(error) if error.class() == ErrorClass::Transient => {
                let known = self.last_known(tenant, name).await.ok_or_else(|| error.clone())?;
                tracing::warn!(%name, "{}: the last known answer is given", crate::chain(&error));
                Ok(Some(known))
            }
            Err(error) => Err(error),
            Ok(named) => {
                self.remember(tenant, name, named.as_ref()).await;
                Ok(named)
            }
        }
    }

    async fn manifest(&self, root: RootId, id: &ManifestId) -> Result<Bytes, HostError> {
        if let Some(bytes) = self.kept_manifest(root, id).await {
            self.counters.manifest_hits.fetch_add(1, Relaxed);
            return Ok(bytes);
        }
        self.fetch(root, id).whole().await
    }

    async fn manifest_from(
        &self,
        root: RootId,
        id: &ManifestId,
        from: u64,
    ) -> Result<ManifestBytes, HostError> {
        if let Some(fetch) = self.fetches.under_way(root, id) {
            return fetch.from(from).await;
        }
        if from == 0
            && let Some((len, front)) = self.kept_front(root, id).await
        {
            self.counters.manifest_hits.fetch_add(1, Relaxed);
            return Ok(self.behind(front, len, root, id));
        }
        match self.kept_manifest(root, id).await {
            Some(bytes) => Ok(ManifestBytes::of_whole(&bytes, from)),
            None => self.fetch(root, id).from(from).await,
        }
    }

    async fn in_use(&self, root: RootId, id: &ManifestId) {
        self.below.in_use(root, id).await;
    }
}

impl fmt::Display for KeptCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kept → {}", self.below)
    }
}
