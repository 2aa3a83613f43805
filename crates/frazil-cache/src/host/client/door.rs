//! The way to the host cache: one connection, which is made anew when it breaks.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Dial;
use super::counts::Counters;
use super::link::Link;
use crate::host::protocol::{HELLO_LEN, Hello, ProtocolError, Verdict};
use crate::host::{HostError, socket_buffers};

/// How long a host cache may take to say hello. It does nothing before that, but on a machine where hundreds of
/// containers start at once its turn comes late.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the connection is made, by whoever needs one first.
pub(super) struct Door {
    path: PathBuf,
    /// Connects where this process may not.
    dial: Option<Dial>,
    link: Mutex<Option<Arc<Link>>>,
    /// Held by whoever connects; the others wait for it.
    connecting: tokio::sync::Mutex<()>,
    counters: Arc<Counters>,
}

impl Door {
    pub(super) fn new(path: PathBuf, dial: Option<Dial>, counters: Arc<Counters>) -> Self {
        Self { path, dial, link: Mutex::default(), connecting: tokio::sync::Mutex::default(), counters }
    }

    /// The connection; a new one if there is none that works.
    pub(super) async fn enter(&self) -> Result<Arc<Link>, HostError> {
        if let Some(link) = self.open_link() {
            return Ok(link);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(link) = self.open_link() {
            return Ok(link);
        }
        let link = Arc::new(self.connect().await?);
        if !self.counters.connected() {
            tracing::info!(socket = %self.path.display(), "connected to the host cache again");
        }
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&link));
        Ok(link)
    }

    fn open_link(&self) -> Option<Arc<Link>> {
        let link = self.link.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        link.is_open().then_some(link)
    }

    async fn connect(&self) -> Result<Link, HostError> {
        timeout(HELLO_TIMEOUT, self.greet()).await.unwrap_or_else(|error| Err(self.failed(error.into())))
    }

    async fn greet(&self) -> Result<Link, HostError> {
        let failed = |error| self.failed(error);
        let mut stream = self.stream().await.map_err(failed)?;
        let mut hello = [0; HELLO_LEN];
        stream.read_exact(&mut hello).await.map_err(failed)?;
        let Hello(verdict) = Hello::decode(&hello).map_err(|source| self.garbled(source))?;
        match verdict {
            Verdict::Welcome { in_flight: 0 } => Err(self.garbled(ProtocolError::BadBody("a hello"))),
            Verdict::Welcome { in_flight } => {
                socket_buffers::widen(&stream);
                stream.write_all(&Hello::AGENT.encode()).await.map_err(failed)?;
                Ok(Link::start(stream, in_flight))
            }
            Verdict::Refused => Err(HostError::PeerRefused { path: self.path.clone() }),
            Verdict::Busy { .. } => {
                Err(self.failed(io::Error::new(io::ErrorKind::ResourceBusy, "too many connections")))
            }
        }
    }

    async fn stream(&self) -> io::Result<UnixStream> {
        match (UnixStream::connect(&self.path).await, &self.dial) {
            (Err(error), Some(dial)) if error.kind() == io::ErrorKind::PermissionDenied => {
                let dial = Arc::clone(dial);
                let dialled = tokio::task::spawn_blocking(move || dial()).await;
                let stream = std::os::unix::net::UnixStream::from(dialled.map_err(io::Error::other)??);
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream)
            }
            (connected, _) => connected,
        }
    }

    fn failed(&self, source: io::Error) -> HostError {
        HostError::Socket { action: "connect to", path: self.path.clone(), source: Arc::new(source) }
    }

    fn garbled(&self, source: ProtocolError) -> HostError {
        HostError::Protocol { path: self.path.clone(), source }
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("path", &self.path).finish_non_exhaustive()
    }
}
