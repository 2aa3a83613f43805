//! Profiles that stay on this host, since the store behind takes no writes.
//!
//! ```text
//! <directory>/<root>/<manifest id>
//! ```
//!
//! Sealed as they are in a store. Bundles are the store's alone: on this host, chunks belong in the tiers.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use frazil_format::BundleId;
use frazil_format::bounds::MAX_PROFILES_LEN;
use frazil_store::{ErrorClass, Reference};

use super::kept::files::{Files, Outcome};
use super::{BundleBytes, HeadStart, HostError, ProfileShelf};
use crate::Wanted;

/// The most bytes of profiles that are kept: ten thousand small ones.
const MAX_BYTES: u64 = 64 << 20;

/// A shelf whose writes end on this host where the store refuses them.
#[derive(Debug)]
pub struct OrLocal {
    store: Arc<dyn ProfileShelf>,
    local: Files,
}

impl OrLocal {
    /// The shelf, with a directory for what it does not take. Made if need be.
    pub fn new(store: Arc<dyn ProfileShelf>, directory: PathBuf) -> Self {
        Self { store, local: Files::new(directory, MAX_BYTES) }
    }
}

fn file_name(of: &Reference) -> String {
    format!("{}/{}", of.root, of.manifest)
}

#[async_trait]
impl ProfileShelf for OrLocal {
    /// What was learnt here goes before what the store has: it was learnt from that.
    async fn profiles(&self, of: &Reference) -> Result<Option<Bytes>, HostError> {
        match self.own_profiles(of).await {
            Some(bytes) => Ok(Some(bytes)),
            None => self.store.profiles(of).await,
        }
    }

    async fn head_start(&self, of: &Reference) -> Result<HeadStart, HostError> {
        match self.own_profiles(of).await {
            Some(own) => Ok(HeadStart { profiles: Some(own), head: None }),
            None => self.store.head_start(of).await,
        }
    }

    async fn own_profiles(&self, of: &Reference) -> Option<Bytes> {
        match self.local.read(&file_name(of), MAX_PROFILES_LEN).await {
            Outcome::Found(bytes) => Some(bytes),
            Outcome::Absent => None,
        }
    }

    async fn put_profiles(&self, of: &Reference, bytes: Bytes) -> Result<(), HostError> {
        match self.store.put_profiles(of, bytes.clone()).await {
            Err(error) if error.class() == ErrorClass::Denied => {
                tracing::debug!(%error, "profiles stay on this host");
                self.local.write(&file_name(of), bytes).await;
                Ok(())
            }
            put => {
                // A store that takes writes now has the newer ones.
                if put.is_ok() {
                    self.local.remove(&file_name(of)).await;
                }
                put
            }
        }
    }

    async fn bundle(
        &self,
        of: &Reference,
        id: &BundleId,
        range: Range<u64>,
    ) -> Result<BundleBytes, HostError> {
        self.store.bundle(of, id, range).await
    }

    async fn put_bundle(&self, of: &Reference, id: &BundleId, bytes: BundleBytes) -> Result<(), HostError> {
        self.store.put_bundle(of, id, bytes).await
    }

    async fn delete_bundle(&self, of: &Reference, id: &BundleId) -> Result<(), HostError> {
        self.store.delete_bundle(of, id).await
    }

    async fn is_near(&self, wanted: &Wanted) -> bool {
        self.store.is_near(wanted).await
    }
}

impl fmt::Display for OrLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or this host", self.store)
    }
}
