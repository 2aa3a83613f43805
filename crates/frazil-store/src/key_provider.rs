//! Key providers: who wraps and unwraps the data keys of manifests, and who keeps the scopes' secrets.

use std::fmt::Debug;

use async_trait::async_trait;
use frazil_format::{DataKey, ScopeId, ScopeSecret, WrapContext, WrappedKey};

use crate::StoreError;

/// Holds the wrapping keys of tenants, or knows who does. A local keyring is one ([`crate::Keyring`]); key
/// management services are others.
#[async_trait]
pub trait KeyProvider: Debug + Send + Sync {
    /// Wraps a manifest's data key for its tenant. The context is bound to the wrapped key: it unwraps with the same
    /// one only.
    async fn wrap(
        &self,
        tenant: &str,
        key: &DataKey,
        context: &WrapContext,
    ) -> Result<WrappedKey, StoreError>;

    /// Unwraps what [`KeyProvider::wrap`] gave, with whichever of the tenant's keys wrapped it.
    async fn unwrap(
        &self,
        tenant: &str,
        wrapped: &WrappedKey,
        context: &WrapContext,
    ) -> Result<DataKey, StoreError>;

    /// How wrapped keys name the key that [`KeyProvider::wrap`] uses now.
    async fn current_key(&self, tenant: &str) -> Result<String, StoreError>;

    /// Makes a new wrapping key the tenant's, and names it. Those before it go on unwrapping.
    async fn rotate(&self, tenant: &str) -> Result<String, StoreError>;

    /// The secret of the scope that a store's record names; `wrapped` is what the record keeps of it.
    async fn scope_secret(
        &self,
        scope: &str,
        id: &ScopeId,
        wrapped: Option<&WrappedKey>,
    ) -> Result<ScopeSecret, StoreError>;

    /// The secret for a scope that has no record yet, and what its record is to keep of it.
    async fn first_scope_secret(&self, scope: &str) -> Result<(ScopeSecret, Option<WrappedKey>), StoreError>;

    /// The next secret for the scope whose secret was `old`, and what the record is to keep of it. Everybody
    /// who asks gets the same secret until the record names it.
    async fn next_scope_secret(
        &self,
        scope: &str,
        old: &ScopeId,
    ) -> Result<(ScopeSecret, Option<WrappedKey>), StoreError>;
}
