//! A catalog that tells new mounts to come back later while the origin has more to do than it can.
//!
//! A mount starts by asking what a name stands for; here it is stopped before it adds to the load. Whoever is
//! mounted already is not asked. A failing origin stops nobody: what the host keeps may be all that a mount needs.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use frazil_format::{ManifestId, RootId};
use frazil_store::{ErrorClass, ImageName};

use super::{Catalog, HostError, ManifestBytes, Named};
use crate::resilience::{Admission, Refused};

/// Says whether a mount may start; none while the origin is not open yet.
pub type AdmissionSource = Arc<dyn Fn() -> Option<Admission> + Send + Sync>;

/// Asks for admission before it answers for a name.
pub struct Guarded {
    below: Arc<dyn Catalog>,
    admission: AdmissionSource,
}

impl Guarded {
    /// A guard before this catalog.
    pub fn new(below: Arc<dyn Catalog>, admission: AdmissionSource) -> Self {
        Self { below, admission }
    }
}

#[async_trait]
impl Catalog for Guarded {
    async fn reference(&self, tenant: &str, name: &ImageName) -> Result<Option<Named>, HostError> {
        let verdict = (self.admission)().map_or(Ok(()), |admission| admission.try_admit());
        if let Err(refused @ Refused::Overloaded { .. }) = verdict {
            let (what, class) = (format!("the name {name}"), ErrorClass::Transient);
            return Err(HostError::LookUp { what, class, source: Arc::new(refused) });
        }
        self.below.reference(tenant, name).await
    }

    async fn manifest(&self, root: RootId, id: &ManifestId) -> Result<Bytes, HostError> {
        self.below.manifest(root, id).await
    }

    async fn manifest_from(
        &self,
        root: RootId,
        id: &ManifestId,
        from: u64,
    ) -> Result<ManifestBytes, HostError> {
        self.below.manifest_from(root, id, from).await
    }

    async fn in_use(&self, root: RootId, id: &ManifestId) {
        self.below.in_use(root, id).await;
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.below.fmt(f)
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("below", &self.below).finish_non_exhaustive()
    }
}
