//! Bundles that stay on the host's disk, so that fifty starts of one image read its bundle once.
//!
//! ```text
//! <directory>/<bundle id>/<first byte>-<byte behind the last>    as they were asked for
//! ```
//!
//! A bundle never changes, and whoever reads it authenticates it. Agents ask for the same parts of the same bundle.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use frazil_format::BundleId;
use frazil_store::Reference;

use super::kept::files::Files;
use super::kept::streams::Streams;
use super::protocol::MAX_SHELVED_LEN;
use super::{BundleBytes, HostError, ProfileShelf};
use crate::Wanted;

/// Whether the tiers of this process have a chunk.
pub type Near = Arc<dyn Fn(&Wanted) -> bool + Send + Sync>;

/// A shelf that reads bundles once for all who ask, and remembers them.
pub struct KeptBundles {
    below: Arc<dyn ProfileShelf>,
    near: Option<Near>,
    streams: Streams,
}

impl KeptBundles {
    /// Keeps parts of bundles in this directory, so many bytes at most; none if there is no directory.
    pub fn new(below: Arc<dyn ProfileShelf>, directory: Option<(PathBuf, u64)>) -> Self {
        let files = directory.map(|(directory, budget_bytes)| Files::new(directory, budget_bytes));
        Self { below, near: None, streams: Streams::into(files) }
    }

    /// Knows what the tiers beside it have.
    #[must_use]
    pub fn beside(self, near: Near) -> Self {
        Self { near: Some(near), ..self }
    }
}

#[async_trait]
impl ProfileShelf for KeptBundles {
    async fn profiles(&self, of: &Reference) -> Result<Option<Bytes>, HostError> {
        self.below.profiles(of).await
    }

    async fn put_profiles(&self, of: &Reference, bytes: Bytes) -> Result<(), HostError> {
        self.below.put_profiles(of, bytes).await
    }

    async fn bundle(
        &self,
        of: &Reference,
        id: &BundleId,
        range: Range<u64>,
    ) -> Result<BundleBytes, HostError> {
        let len = range.end.saturating_sub(range.start);
        if len > u64::from(MAX_SHELVED_LEN) {
            return self.below.bundle(of, id, range).await;
        }
        let file = format!("{id}/{}-{}", range.start, range.end);
        let (below, of, id) = (Arc::clone(&self.below), *of, *id);
        Ok(self.streams.join(file, len, async move { below.bundle(&of, &id, range).await }))
    }

    async fn put_bundle(&self, of: &Reference, id: &BundleId, bytes: BundleBytes) -> Result<(), HostError> {
        self.below.put_bundle(of, id, bytes).await
    }

    async fn delete_bundle(&self, of: &Reference, id: &BundleId) -> Result<(), HostError> {
        self.below.delete_bundle(of, id).await
    }

    async fn is_near(&self, wanted: &Wanted) -> bool {
        self.near.as_ref().is_some_and(|near| near(wanted))
    }
}

impl fmt::Debug for KeptBundles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptBundles").field("below", &self.below).finish_non_exhaustive()
    }
}

impl fmt::Display for KeptBundles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kept → {}", self.below)
    }
}
