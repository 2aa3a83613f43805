//! On whose behalf an image is converted, and so which scope each of its layers is sealed for.
//!
//! Invariant: a layer is sealed for the shared scope only if its diff id is on the list of public base layers;
//! everything else, the metadata area included, is sealed for the tenant's own scope.

use std::collections::HashSet;
use std::sync::Arc;

use frazil_format::{Compression, DiffId, RootId, ScopeId, Sealer};
use frazil_store::{KeyProvider, SHARED_SCOPE, Scope, Store};

use crate::source::LayerDescriptor;
use crate::{ConvertError, ConvertOptions};

/// On whose behalf an image is converted.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// The tenant that the image will belong to.
    pub tenant: &'a str,
    /// The tenant's own scope.
    pub own: &'a Scope,
    /// Wraps the manifest's data key.
    pub provider: &'a dyn KeyProvider,
    /// What becomes of an image that has the name already.
    pub standing: Standing,
}

/// What becomes of an image that has the name already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It is replaced if these keys open it.
    ReplaceOwn,
    /// It is replaced, whoever can open it.
    ReplaceAny,
}

/// What a stream is sealed with.
#[derive(Clone, Debug)]
pub(crate) struct Sealing {
    pub(crate) scope: ScopeId,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) compression: Compression,
}

/// Which stream is sealed with what.
#[derive(Clone, Debug)]
pub(crate) struct Sealings {
    own: Sealing,
    shared: Option<(Sealing, HashSet<DiffId>)>,
}

impl Sealings {
    /// Decides it for an image's layers. The shared scope is opened only if one of the layers is public.
    pub(crate) async fn decide(
        store: &Store,
        root: RootId,
        keys: &Keys<'_>,
        options: &ConvertOptions,
        layers: &[LayerDescriptor],
    ) -> Result<Self, ConvertError> {
        let own = Sealing::new(keys.own, root, options.compression.unwrap_or(keys.own.compression));
        let mut bases = store.claimed_bases().await?;
        bases.retain(|diff_id| layers.iter().any(|layer| layer.diff_id == *diff_id));
        if bases.is_empty() {
            return Ok(Self { own, shared: None });
        }
        let scope = store.scope(SHARED_SCOPE, keys.provider).await?;
        let mut vouched_for = HashSet::new();
        for diff_id in bases {
            vouched_for.extend(store.base(&scope.secret, &diff_id).await?.map(|base| base.diff_id));
        }
        // Tenants that compressed it differently would share nothing: the scope's own policy, always.
        Ok(Self { own, shared: Some((Sealing::new(&scope, root, scope.compression), vouched_for)) })
    }

    /// The sealing of the tenant's own scope.
    pub(crate) fn own(&self) -> &Sealing {
        &self.own
    }

    /// The sealing of a layer.
    pub(crate) fn of(&self, diff_id: &DiffId) -> &Sealing {
        match &self.shared {
            Some((shared, bases)) if bases.contains(diff_id) => shared,
            _ => &self.own,
        }
    }
}

impl Sealing {
    fn new(scope: &Scope, root: RootId, compression: Compression) -> Self {
        let sealer = Arc::new(Sealer::new(&scope.secret, root));
        Self { scope: scope.secret.id(), sealer, compression }
    }
}
