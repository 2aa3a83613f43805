//! The profiles of a manifest on their way, which begins before there is an image.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frazil_cache::Reference;
use frazil_cache::host::{HostError, ProfileShelf};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

/// How long an image waits for its profiles once its manifest is there: both were asked for at the same time.
const PROFILES_BEHIND: Duration = Duration::from_millis(10);

/// How long profiles may take to come: later, the start is over.
pub(super) const FETCH_MAX: Duration = Duration::from_secs(5);

/// The profiles of a manifest on their way, begun before it is known who opens them.
#[derive(Debug)]
pub struct Fetching(JoinHandle<Result<Option<Bytes>, HostError>>);

impl Fetching {
    /// Those that came beside the manifest, unless this host has its own.
    pub fn known(shelf: Arc<dyn ProfileShelf>, of: Reference, profiles: Option<Bytes>) -> Self {
        Self(tokio::spawn(async move { Ok(shelf.own_profiles(&of).await.or(profiles)) }))
    }

    /// Asks for the profiles of a manifest, and has what they name begin to come where nothing is kept.
    pub fn start(shelf: Arc<dyn ProfileShelf>, of: Reference) -> Self {
        Self(tokio::spawn(async move { shelf.head_start(&of).await.map(|begun| begun.profiles) }))
    }

    /// What came of it, if it comes while it helps a start.
    pub(super) async fn outcome(self) -> Option<Bytes> {
        timeout(FETCH_MAX, self.0).await.ok().and_then(outcome)
    }

    /// What came of it, if it comes beside the manifest; what is still on its way otherwise.
    pub(super) async fn soon(mut self) -> Result<Option<Bytes>, Self> {
        timeout(PROFILES_BEHIND, &mut self.0).await.map(outcome).map_err(|_| self)
    }
}

fn outcome(fetched: Result<Result<Option<Bytes>, HostError>, JoinError>) -> Option<Bytes> {
    match fetched {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "no profiles");
            None
        }
        Err(_) => None,
    }
}
