//! The serving side: one task for each connection, one for each request that has to wait.
//!
//! Invariants: what is under way is bounded, per connection and in all, and whoever asks for more is told
//! when to ask again; an agent that does not read its answers delays nobody and is let go; a request that
//! waits delays no other one, not even on its own connection.

mod connection;
mod limits;
mod peers;
mod shelving;
mod tally;
mod writer;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use frazil_format::{ManifestId, RootId};
use frazil_store::{ErrorClass, ImageName, MANIFEST_FRONT_LEN};
use futures::{FutureExt, StreamExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::protocol::{Answer, Extent, Hello, MANIFEST_PIECE_LEN, MAX_STATS_BODY, Question, Verdict};
use super::{
    Catalog, CatalogStats, Counter, CounterSource, HostError, HostSocket, HostStats, ManifestBytes, Meter,
    ProfileShelf,
};
use crate::chain;
use crate::trace::TraceContext;
use crate::{Served, Tier, TierError, Wanted};

pub use limits::Limits;
pub use peers::{AnyTenant, OwnUser, Peer, Peers, TenantPolicy, TenantsOf};
use shelving::{Next, Shelving};
use tally::Tally;

/// How long a listener that cannot accept waits before it tries again: it has run out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Mounts of which the catalog is told at once: more than start in the time that a store takes to say how a root is.
const MOUNTS_TOLD_MAX: usize = 256;

/// When an agent that found too many connections should come back.
const RETRY_CONNECTION: Duration = Duration::from_millis(500);

/// How a server serves.
#[derive(Clone)]
pub struct ServerOptions {
    /// Who may connect, and ask for which tenants' names.
    pub peers: Peers,
    /// How much at once.
    pub limits: Limits,
    /// The meters of the tiers, by their names, for the statistics.
    pub meters: Vec<(String, Arc<Meter>)>,
    /// What else the tiers count.
    pub counters: Option<CounterSource>,
    /// Where profiles and bundles are kept; nowhere by default.
    pub profiles: Option<Arc<dyn ProfileShelf>>,
    /// What the catalog counts.
    pub catalog_stats: Option<Arc<dyn Fn() -> CatalogStats + Send + Sync>>,
}

impl Default for ServerOptions {
    /// Serves the server's own user and root, for every tenant, with the default limits, and has only its own
    /// statistics.
    fn default() -> Self {
        Self {
            peers: Peers::default(),
            limits: Limits::default(),
            meters: Vec::new(),
            counters: None,
            profiles: None,
            catalog_stats: None,
        }
    }
}

/// A host cache's serving side.
#[derive(Clone)]
pub struct HostServer(Arc<Inner>);

struct Inner {
    tier: Arc<dyn Tier>,
    catalog: Arc<dyn Catalog>,
    options: ServerOptions,
    tally: Tally,
    /// Requests that may still be taken, in all.
    in_flight: Arc<Semaphore>,
    /// Bytes of answers that may still wait to be written, in all.
    answer_bytes: Arc<Semaphore>,
    /// Mounts of which the catalog may still be told at once.
    mounts_being_told: Arc<Semaphore>,
    started: Instant,
}

impl HostServer {
    /// A server for these tiers and this catalog. The tiers must share one fetch between all who want a chunk, as
    /// [`Memory`](crate::Memory) does.
    pub fn new(tier: Arc<dyn Tier>, catalog: Arc<dyn Catalog>, options: ServerOptions) -> Self {
        let limits = &options.limits;
        Self(Arc::new(Inner {
            in_flight: Arc::new(Semaphore::new(limits.in_flight)),
            answer_bytes: Arc::new(Semaphore::new(limits.answer_bytes)),
            mounts_being_told: Arc::new(Semaphore::new(MOUNTS_TOLD_MAX)),
            tier,
            catalog,
            options,
            tally: Tally::default(),
            started: Instant::now(),
        }))
    }

    /// Serves until `stop` says so; then takes no more requests, answers those that are under way, as long as the
    /// limits let it, and returns.
    ///
    /// # Errors
    /// When the socket cannot be listened on.
    pub async fn serve(&self, socket: &HostSocket, stop: impl Future<Output = ()>) -> std::io::Result<()> {
        let listener = socket.listener()?;
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let (stopping, stopped) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.take(stream, &mut connections, &stopped),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        stopping.send_replace(true);
        let drained = async { while connections.join_next().await.is_some() {} };
        let drain = self.0.options.limits.drain;
        if tokio::time::timeout(drain, drained).await.is_err() {
            tracing::warn!(?drain, "some requests are still under way: let go");
        }
        Ok(())
    }

    /// Everything that was counted since the start.
    pub fn stats(&self) -> HostStats {
        self.0.stats()
    }

    /// Serves a connection, or tells its agent why not.
    fn take(&self, stream: UnixStream, connections: &mut JoinSet<()>, stopped: &watch::Receiver<bool>) {
        let inner = &self.0;
        let limits = &inner.options.limits;
        let counted = &inner.tally.connections;
        let Ok(peer) = stream.peer_cred().map(Peer::from) else { return };
        if !inner.options.peers.admits(&peer) {
            counted.refused.fetch_add(1, Relaxed);
            tracing::warn!(uid = peer.uid, gid = peer.gid, pid = peer.pid, "a user is refused");
            return turn_away(&stream, Verdict::Refused);
        }
        if connections.len() >= limits.connections {
            counted.busy.fetch_add(1, Relaxed);
            let retry_after_ms = connection::ms(RETRY_CONNECTION);
            return turn_away(&stream, Verdict::Busy { retry_after_ms });
        }
        counted.accepted.fetch_add(1, Relaxed);
        connections.spawn(connection::serve(Arc::clone(inner), stream, peer, stopped.clone()));
    }
}

/// Says why a connection is not taken.
fn turn_away(stream: &UnixStream, verdict: Verdict) {
    let _ = greet(stream, verdict);
}

/// Says hello. The buffer of a new socket is empty: this never waits.
fn greet(stream: &UnixStream, verdict: Verdict) -> std::io::Result<()> {
    rustix::io::write(stream, &Hello(verdict).encode())?;
    Ok(())
}

impl Inner {
    /// The answer to a question, however long it takes.
    async fn answer(&self, peer: Peer, shelving: &Shelving, question: Question) -> Answer {
        match question {
            Question::Chunk { wanted, trace, .. } => match self.chunk(peer, &wanted, trace).await {
                Ok(Served { chunk, by }) => Answer::Chunk { by, sealed: chunk.into_bytes() },
                Err(error) => Answer::Error { class: error.class(), message: chain(&error) },
            },
            Question::Reference { tenant, name } => self.reference(peer, &tenant, &name).await,
            Question::Manifest { root, id, offset, extent } => self.manifest(root, &id, offset, extent).await,
            Question::Stats => self.stats_answer(),
            Question::Ping => Answer::Pong,
            Question::Shelved { what, offset, len, purpose } => {
                self.shelved(peer, shelving, &what, (offset, len, purpose)).await
            }
            Question::Shelve { what, offset, last, piece } => {
                self.shelve(peer, shelving, &what, Next { offset, last, piece }).await
            }
            Question::Clear(what) => self.clear(peer, shelving, &what).await,
            Question::Near(wanted) => {
                let shelf = self.options.profiles.as_ref();
                let near = match shelf {
                    Some(shelf) => shelf.is_near(&wanted).await,
                    None => false,
                };
                Answer::Shelved(near.then(Bytes::new))
            }
            Question::InUse { root, id } => {
                self.mounted(root, id);
                Answer::Done
            }
        }
    }

    /// A chunk, in a span of the asking agent's trace.
    async fn chunk(
        &self,
        peer: Peer,
        wanted: &Wanted,
        trace: Option<TraceContext>,
    ) -> Result<Served, TierError> {
        let span = tracing::debug_span!("host_request", pid = peer.pid, chunk = %wanted.id);
        if let Some(trace) = trace {
            trace.adopt(&span);
        }
        self.tier.get(wanted).instrument(span).await
    }

    /// This answer, or an error when the deadline is over. It is worked on for as long as somebody polls it.
    async fn answer_in_time(&self, answer: impl Future<Output = Answer>) -> Answer {
        let deadline = self.options.limits.request_deadline;
        tokio::time::timeout(deadline, answer).await.unwrap_or_else(|_| Answer::Error {
            class: ErrorClass::Transient,
            message: format!("{} did not answer within {} ms", self.tier, deadline.as_millis()),
        })
    }

    async fn reference(&self, peer: Peer, tenant: &str, name: &ImageName) -> Answer {
        if !self.options.peers.may_ask(&peer, tenant) {
            let message = format!("user {} may not ask for images of the tenant {tenant}", peer.uid);
            return Answer::Error { class: ErrorClass::Denied, message };
        }
        match self.catalog.reference(tenant, name).await {
            Ok(named) => Answer::Reference(named),
            Err(error) => Answer::Error { class: error.class(), message: chain(&error) },
        }
    }

    /// Tells the catalog that an image is mounted. That happens beside the answer: a store that is slow to
    /// say how its root is must not hold up a mount.
    fn mounted(&self, root: RootId, id: ManifestId) {
        // A mount that is not told of now, because the store is slow, is told of within a minute: agents say
        // it again.
        let Ok(saying) = Arc::clone(&self.mounts_being_told).try_acquire_owned() else { return };
        let catalog = Arc::clone(&self.catalog);
        tokio::spawn(async move {
            catalog.in_use(root, &id).await;
            drop(saying);
        });
    }

    /// A piece of a manifest, which is asked for to mount it.
    async fn manifest(&self, root: RootId, id: &ManifestId, offset: u64, extent: Extent) -> Answer {
        self.mounted(root, *id);
        let piece = match extent {
            Extent::Full => {
                let whole = self.catalog.manifest(root, id).await;
                whole.map(|bytes| (bytes.len() as u64, piece(&bytes, offset)))
            }
            Extent::Come => self.come(root, id, offset).await,
        };
        match piece {
            Ok((len, piece)) => Answer::Manifest { len, piece },
            Err(error) => Answer::Error { class: error.class(), message: chain(&error) },
        }
    }

    /// The length of a manifest, and what has come of it from this offset on: a front of it at least, or its end.
    async fn come(&self, root: RootId, id: &ManifestId, offset: u64) -> Result<(u64, Bytes), HostError> {
        let ManifestBytes { len, mut bytes } = self.catalog.manifest_from(root, id, offset).await?;
        let mut here = BytesMut::new();
        while (here.len() as u64) < MANIFEST_FRONT_LEN {
            match bytes.next().await {
                None => break,
                Some(Ok(next)) => here.extend_from_slice(&next),
                // Whoever asks for the bytes behind these is told.
                Some(Err(_)) if !here.is_empty() => break,
                Some(Err(error)) => return Err(error),
            }
        }
        Ok((len, piece(&here.freeze(), 0)))
    }

    fn stats_answer(&self) -> Answer {
        match serde_json::to_vec(&self.stats()) {
            Ok(json) if json.len() <= MAX_STATS_BODY as usize => Answer::Stats(json.into()),
            _ => Answer::Error {
                class: ErrorClass::Denied,
                message: "the statistics are too long to be sent".to_owned(),
            },
        }
    }

    fn stats(&self) -> HostStats {
        let counters: Vec<Counter> = self.options.counters.as_ref().map(|read| read()).unwrap_or_default();
        HostStats {
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            stack: self.tier.to_string(),
            connections: self.tally.connections.read(),
            requests: self.tally.requests.read(),
            errors: self.tally.errors.read(),
            catalog: self.options.catalog_stats.as_ref().map(|read| read()).unwrap_or_default(),
            tiers: self.options.meters.iter().map(|(name, meter)| (name.clone(), meter.counts())).collect(),
            counters,
        }
    }
}

/// The bytes of a manifest from this offset on, as many as go into one answer. They are copied to memory of
/// their own, because a client that does not read must not hold all of a manifest.
fn piece(manifest: &Bytes, offset: u64) -> Bytes {
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(manifest.len());
    let end = start.saturating_add(MANIFEST_PIECE_LEN as usize).min(manifest.len());
    match end - start == manifest.len() {
        true => manifest.clone(),
        false => Bytes::copy_from_slice(manifest.get(start..end).unwrap_or_default()),
    }
}

/// Polls a future once: what is at hand is answered without a task.
async fn at_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.poll_unpin(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
