//! Key providers: who wraps and unwraps the data keys of manifests.

use std::fmt::Debug;

use async_trait::async_trait;
use frazil_format::{DataKey, WrappedKey};

use crate::StoreError;

/// Holds the wrapping keys of tenants, or knows who does. A local keyring is one ([`crate::Keyring`]); key
/// management services are others.
#[async_trait]
pub trait KeyProvider: Debug + Send + Sync {
    /// Wraps a manifest's data key for its tenant. The context ([`frazil_format::wrap_context`]) is bound to the
    /// wrapped key: it unwraps with the same one only.
    async fn wrap(&self, tenant: &str, key: &DataKey, context: &[u8]) -> Result<WrappedKey, StoreError>;

    /// Unwraps what [`KeyProvider::wrap`] gave.
    async fn unwrap(&self, tenant: &str, wrapped: &WrappedKey, context: &[u8])
    -> Result<DataKey, StoreError>;
}
