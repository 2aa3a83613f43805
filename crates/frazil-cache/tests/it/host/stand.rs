//! A host cache on a socket of its own, that can be ended politely, killed, and started again.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use frazil_cache::host::{
    Catalog, HostCache, HostCacheOptions, HostError, HostServer, HostSocket, Named, ServerOptions,
};
use frazil_cache::{Served, Tier, TierError, Wanted};
use frazil_format::{ManifestId, RootId};
use frazil_store::{ErrorClass, ImageName};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::stages::{PATIENCE, Scratch, scratch};

/// A host cache that serves as long as it is held.
pub(crate) struct Stand {
    directory: Scratch,
    server: HostServer,
    running: Option<Running>,
}

struct Running {
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Stand {
    pub(crate) fn over(tier: Arc<dyn Tier>) -> Self {
        Self::new(tier, Arc::new(NoCatalog), ServerOptions::default())
    }

    pub(crate) fn new(tier: Arc<dyn Tier>, catalog: Arc<dyn Catalog>, options: ServerOptions) -> Self {
        let directory = scratch();
        let server = HostServer::new(tier, catalog, options);
        let mut stand = Self { directory, server, running: None };
        stand.start();
        stand
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("cached.sock")
    }

    pub(crate) fn server(&self) -> &HostServer {
        &self.server
    }

    /// An agent, with its own connection.
    pub(crate) fn agent(&self) -> HostCache {
        HostCache::new(self.path(), HostCacheOptions { patience: PATIENCE })
    }

    pub(crate) fn impatient_agent(&self, patience: Duration) -> HostCache {
        HostCache::new(self.path(), HostCacheOptions { patience })
    }

    pub(crate) fn start(&mut self) {
        self.start_with(0o600);
    }

    pub(crate) fn start_with(&mut self, mode: u32) {
        let socket = HostSocket::bind(&self.path(), mode).unwrap();
        let stop = Arc::new(Notify::new());
        let (server, stopped) = (self.server.clone(), Arc::clone(&stop));
        let task = tokio::spawn(async move { server.serve(&socket, stopped.notified()).await.unwrap() });
        self.running = Some(Running { stop, task });
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(&mut self) {
        let Running { stop, task } = self.running.take().unwrap();
        stop.notify_one();
        task.await.unwrap();
    }

    /// Ends it and all its connections at once. Its socket stays, as that of a killed process does.
    pub(crate) async fn kill(&mut self) {
        let Running { task, .. } = self.running.take().unwrap();
        let ghost = self.directory.path().join("ghost.sock");
        // What the drop of a polite end would remove.
        std::fs::rename(self.path(), &ghost).unwrap();
        task.abort();
        let _ = task.await;
        std::fs::rename(ghost, self.path()).unwrap();
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        if let Some(Running { task, .. }) = &self.running {
            task.abort();
        }
    }
}

/// A tier that is reached through a host cache, which it keeps up.
pub(crate) struct Through {
    agent: HostCache,
    _stand: Stand,
}

impl Through {
    pub(crate) fn new(tier: Arc<dyn Tier>) -> Self {
        let stand = Stand::over(tier);
        Self { agent: stand.agent(), _stand: stand }
    }
}

#[async_trait]
impl Tier for Through {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        self.agent.get(wanted).await
    }
}

impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.agent.fmt(f)
    }
}

impl fmt::Debug for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.agent.fmt(f)
    }
}

/// Knows no name and has no manifest.
#[derive(Debug)]
pub(crate) struct NoCatalog;

#[async_trait]
impl Catalog for NoCatalog {
    async fn reference(&self, _: &str, _: &ImageName) -> Result<Option<Named>, HostError> {
        Ok(None)
    }

    async fn manifest(&self, _: RootId, id: &ManifestId) -> Result<Bytes, HostError> {
        let source = Arc::new(std::io::Error::other("there is none"));
        Err(HostError::LookUp { what: format!("manifest {id}"), class: ErrorClass::NotFound, source })
    }
}

impl fmt::Display for NoCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}

/// Waits until it is so.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.expect("it never happens");
}
