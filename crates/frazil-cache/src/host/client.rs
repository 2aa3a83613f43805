//! The asking side: a tier and a catalog that a host cache answers for.
//!
//! Invariants: every chunk is verified against its id here, whatever the host cache says; a host cache that is
//! killed, restarted or overloaded is waited for, as long as patience lasts, and no reader is told.

mod counts;
mod door;
mod knock;
mod link;
mod pending;
mod shelf;

use std::fmt;
use std::future::Future;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use frazil_format::{ManifestId, RootId, SealedChunk};
use frazil_store::{ErrorClass, ImageName, MAX_MANIFEST_BYTES};
use futures::stream::{StreamExt, try_unfold};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::catalog::{about, verified};
use super::error::Remark;
use super::protocol::{Answer, Extent, MANIFEST_PIECE_LEN, ProtocolError, Question};
use super::{Catalog, HostError, HostStats, ManifestBytes, Named};
use crate::jitter::{backoff, spread};
use crate::resilience::Urgency;
use crate::trace::{self, TraceContext};
use crate::{Served, Tier, TierError, Wanted};
use counts::Counters;
use door::Door;

pub use counts::HostCacheCounts;
pub use knock::{is_served, is_served_within};

/// The first wait after a connection broke, and the longest between two attempts: a host cache that is restarted
/// answers within milliseconds; one that is gone is not worth a core.
const FIRST_WAIT: Duration = Duration::from_millis(2);
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// The longest tenant's name, in bytes: what the store takes, and what fits a request.
const MAX_TENANT_LEN: usize = 64;

/// The most pieces that a manifest is asked for in.
const MAX_PIECES: u64 = MAX_MANIFEST_BYTES / MANIFEST_PIECE_LEN as u64 + 1;

/// Connects to the host cache's socket for a process that may make no socket itself.
pub type Dial = Arc<dyn Fn() -> std::io::Result<OwnedFd> + Send + Sync>;

/// How a host cache is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostCacheOptions {
    /// How long one question may take, over however many connections. Longer than a host cache's own deadline, so
    /// that its explanation arrives; shorter than a reader's, so that this one does.
    pub patience: Duration,
}

impl Default for HostCacheOptions {
    /// 45 seconds: between a host cache's 30 and a reader's 60.
    fn default() -> Self {
        Self { patience: Duration::from_secs(45) }
    }
}

/// A host cache, from the outside; clones share its connection. Prints as `host-cache(/run/frazil/cached.sock)`.
#[derive(Clone, Debug)]
pub struct HostCache {
    path: PathBuf,
    options: HostCacheOptions,
    door: Arc<Door>,
    counters: Arc<Counters>,
}

/// Why a question has no answer.
enum Failure {
    /// Nobody answered in time.
    Patience(HostError),
    /// The host cache answered with an error.
    Told { class: ErrorClass, message: String },
}

impl HostCache {
    /// The host cache that serves the socket at `path`. Nothing is connected yet.
    pub fn new(path: impl Into<PathBuf>, options: HostCacheOptions) -> Self {
        Self::reached_by(None, path, options)
    }

    /// The host cache that serves the socket at `path`; `dial` connects to it where this process may not.
    pub fn reached_by(dial: Option<Dial>, path: impl Into<PathBuf>, options: HostCacheOptions) -> Self {
        let path = path.into();
        let counters = Arc::<Counters>::default();
        let door = Arc::new(Door::new(path.clone(), dial, Arc::clone(&counters)));
        Self { path, options, door, counters }
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What happened so far.
    pub fn counts(&self) -> HostCacheCounts {
        self.counters.read()
    }

    /// Asks whether anybody is there; waits as long as patience lasts.
    ///
    /// # Errors
    /// [`HostError`] if nobody is.
    pub async fn ping(&self) -> Result<(), HostError> {
        match self.ask(Question::Ping).await.map_err(|failure| failure.into_host("the host cache"))? {
            Answer::Pong => Ok(()),
            _ => Err(self.wrong_answer()),
        }
    }

    /// Asks once whether anybody is there. A host cache that is absent is not waited for; one that is there
    /// is waited for as long as patience lasts.
    ///
    /// # Errors
    /// [`HostError`] if there is none, or if it does not serve this process.
    pub async fn ping_once(&self) -> Result<(), HostError> {
        let link = self.door.enter().await?;
        match tokio::time::timeout(self.options.patience, link.ask(Question::Ping)).await {
            Ok(Some(Answer::Pong)) => Ok(()),
            Ok(_) => Err(self.wrong_answer()),
            Err(_) => Err(self.silent()),
        }
    }

    /// What the host cache has counted.
    ///
    /// # Errors
    /// [`HostError`] if it does not answer, or answers something else.
    pub async fn stats(&self) -> Result<HostStats, HostError> {
        let answer = self.ask(Question::Stats).await;
        match answer.map_err(|failure| failure.into_host("the statistics of the host cache"))? {
            Answer::Stats(json) => serde_json::from_slice(&json).map_err(|_| self.wrong_answer()),
            _ => Err(self.wrong_answer()),
        }
    }

    /// Asks until there is an answer or patience ends.
    async fn ask(&self, question: Question) -> Result<Answer, Failure> {
        let deadline = Instant::now() + self.options.patience;
        let mut last = None;
        for attempt in 0_u32.. {
            let answer = match within(deadline, self.door.enter()).await {
                None => break,
                Some(Err(error)) if error.class() == ErrorClass::Denied => {
                    return Err(Failure::Patience(error));
                }
                Some(Err(error)) => {
                    last = Some(error);
                    None
                }
                Some(Ok(link)) => match within(deadline, link.ask(question.clone())).await {
                    None => break,
                    Some(answer) => answer,
                },
            };
            let wait = match answer {
                Some(Answer::Busy { retry_after_ms }) => {
                    self.counters.busy();
                    let wanted = Duration::from_millis(u64::from(retry_after_ms));
                    spread(wanted).max(backoff(attempt, FIRST_WAIT, LONGEST_WAIT))
                }
                Some(Answer::Error { class, message }) => return Err(Failure::Told { class, message }),
                Some(answer) => return Ok(answer),
                None => backoff(attempt, FIRST_WAIT, LONGEST_WAIT),
            };
            self.counters.retried();
            let again = Instant::now() + wait;
            if again >= deadline {
                break;
            }
            sleep_until(again).await;
        }
        Err(Failure::Patience(self.unreachable(last)))
    }

    /// A whole manifest, piece by piece.
    async fn pieces(&self, root: RootId, id: &ManifestId) -> Result<Bytes, HostError> {
        let mut manifest = BytesMut::new();
        for _ in 0..MAX_PIECES {
            let offset = manifest.len() as u64;
            let (len, piece) = self.manifest_piece(root, id, offset, Extent::Full).await?;
            let is_whole = offset.saturating_add(piece.len() as u64) == len;
            if is_whole && offset == 0 {
                return Ok(piece);
            }
            if piece.is_empty() {
                return Err(self.wrong_answer());
            }
            manifest.extend_from_slice(&piece);
            if is_whole {
                return Ok(manifest.freeze());
            }
        }
        Err(self.wrong_answer())
    }

    /// What a manifest has at this offset, and how long it is.
    async fn manifest_piece(
        &self,
        root: RootId,
        id: &ManifestId,
        offset: u64,
        extent: Extent,
    ) -> Result<(u64, Bytes), HostError> {
        let answer = self.ask(Question::Manifest { root, id: *id, offset, extent }).await;
        match answer.map_err(|failure| failure.into_host(&about(id)))? {
            Answer::Manifest { len, piece } if len <= MAX_MANIFEST_BYTES => Ok((len, piece)),
            _ => Err(self.wrong_answer()),
        }
    }

    async fn chunk(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let (priority, trace) = (Urgency::current().priority(), TraceContext::current());
        let answer = self.ask(Question::Chunk { wanted: *wanted, priority, trace }).await;
        let answer = answer.map_err(|failure| self.tier_error(wanted, failure))?;
        let Answer::Chunk { by, sealed: bytes } = answer else {
            return Err(self.tier_error(wanted, Failure::Patience(self.wrong_answer())));
        };
        let (id, len, expected) = (wanted.id, bytes.len() as u64, u64::from(wanted.sealed_len));
        if len != expected {
            return Err(TierError::WrongLength { id, tier: self.to_string(), len, expected });
        }
        let verified = SealedChunk::verify(&id, bytes).map_err(|source| {
            self.counters.corrupt();
            TierError::Corrupt { id, tier: self.to_string(), source: Arc::new(source) }
        })?;
        Ok(Served::by(by, verified))
    }

    fn unreachable(&self, last: Option<HostError>) -> HostError {
        let nothing = || Arc::new(Remark("no answer".to_owned())) as Arc<dyn std::error::Error + Send + Sync>;
        HostError::Unreachable {
            path: self.path.clone(),
            patience_ms: u64::try_from(self.options.patience.as_millis()).unwrap_or(u64::MAX),
            source: last.map_or_else(nothing, |error| Arc::new(error)),
        }
    }

    fn wrong_answer(&self) -> HostError {
        HostError::Protocol { path: self.path.clone(), source: ProtocolError::WrongAnswer }
    }

    fn silent(&self) -> HostError {
        HostError::remark(self.to_string(), ErrorClass::Transient, "it is there and does not answer")
    }

    fn tier_error(&self, wanted: &Wanted, failure: Failure) -> TierError {
        let (id, tier) = (wanted.id, self.to_string());
        let (class, source): (_, Arc<dyn std::error::Error + Send + Sync>) = match failure {
            Failure::Patience(error) => (error.class(), Arc::new(error)),
            Failure::Told { class, message } => (class, Arc::new(Remark(message))),
        };
        match class {
            ErrorClass::NotFound => TierError::NotFound { id, root: wanted.root, tier },
            ErrorClass::Corrupt => TierError::Corrupt { id, tier, source },
            ErrorClass::Denied => TierError::Denied { id, tier, source },
            ErrorClass::Transient | ErrorClass::Full => TierError::Transient { id, tier, source },
        }
    }
}

impl Failure {
    fn into_host(self, what: &str) -> HostError {
        match self {
            Self::Patience(error) => error,
            Self::Told { class, message } => HostError::remark(what.to_owned(), class, message),
        }
    }
}

/// The outcome, if it comes before the deadline.
async fn within<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    timeout_at(deadline, work).await.ok()
}

#[async_trait]
impl Tier for HostCache {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        trace::tier_get("host-cache", wanted, self.chunk(wanted)).await
    }
}

#[async_trait]
impl Catalog for HostCache {
    async fn reference(&self, tenant: &str, name: &ImageName) -> Result<Option<Named>, HostError> {
        let what = || format!("the name {name}");
        if tenant.len() > MAX_TENANT_LEN {
            return Err(HostError::remark(what(), ErrorClass::Denied, "the tenant's name is too long"));
        }
        let question = Question::Reference { tenant: tenant.to_owned(), name: name.clone() };
        match self.ask(question).await.map_err(|failure| failure.into_host(&what()))? {
            Answer::Reference(named) => Ok(named),
            _ => Err(self.wrong_answer()),
        }
    }

    async fn manifest(&self, root: RootId, id: &ManifestId) -> Result<Bytes, HostError> {
        verified(id, self.pieces(root, id).await?)
    }

    async fn manifest_from(
        &self,
        root: RootId,
        id: &ManifestId,
        from: u64,
    ) -> Result<ManifestBytes, HostError> {
        let (len, first) = self.manifest_piece(root, id, from, Extent::Come).await?;
        let (cache, id) = (self.clone(), *id);
        let pieces = try_unfold((Some(first), from), move |(here, offset)| {
            let cache = cache.clone();
            async move {
                if offset >= len {
                    return Ok(None);
                }
                let piece = match here {
                    Some(piece) => piece,
                    None => cache.manifest_piece(root, &id, offset, Extent::Come).await?.1,
                };
                if piece.is_empty() {
                    return Err(cache.wrong_answer());
                }
                let next = offset.saturating_add(piece.len() as u64);
                Ok(Some((piece, (None, next))))
            }
        });
        Ok(ManifestBytes { len, bytes: pieces.boxed() })
    }

    /// An earlier host cache does not know the question, and says so: then nobody is told.
    async fn in_use(&self, root: RootId, id: &ManifestId) {
        if let Err(failure) = self.ask(Question::InUse { root, id: *id }).await {
            tracing::debug!(manifest = %id, "{}", crate::chain(&failure.into_host(&about(id))));
        }
    }
}

impl fmt::Display for HostCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host-cache({})", self.path.display())
    }
}
