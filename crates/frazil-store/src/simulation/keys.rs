//! The tenants' wrapping keys of a simulation: numbers, which outlive whoever crashes, as a key service does.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use async_trait::async_trait;
use frazil_format::{DataKey, ScopeId, ScopeSecret, WrapContext, WrappedKey};

use crate::{KeyProvider, StoreError};

/// The data key of every simulated manifest.
pub(super) const DATA_KEY: [u8; 32] = [9; 32];

/// The key that a tenant has at first.
pub(super) const FIRST: u8 = 1;

/// The wrapping keys of all tenants; a rotation of one is one of all.
#[derive(Debug)]
pub(super) struct NumberedKeys(AtomicU8);

impl NumberedKeys {
    /// Keys that were never rotated.
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(FIRST))
    }
}

/// The data key of a manifest, wrapped by the key of this number.
pub(super) fn wrapped(tenant: &str, number: u8) -> WrappedKey {
    WrappedKey {
        provider: "simulation".into(),
        key_id: format!("{tenant}/{number}"),
        bytes: vec![number; 16],
    }
}

#[async_trait]
impl KeyProvider for NumberedKeys {
    async fn wrap(&self, tenant: &str, _: &DataKey, _: &WrapContext) -> Result<WrappedKey, StoreError> {
        Ok(wrapped(tenant, self.0.load(Relaxed)))
    }

    async fn unwrap(&self, tenant: &str, found: &WrappedKey, _: &WrapContext) -> Result<DataKey, StoreError> {
        match (FIRST..=self.0.load(Relaxed)).any(|number| *found == wrapped(tenant, number)) {
            true => Ok(DataKey::from_bytes(DATA_KEY)),
            false => Err(StoreError::KeyNotFound { path: found.key_id.clone() }),
        }
    }

    async fn current_key(&self, tenant: &str) -> Result<String, StoreError> {
        Ok(wrapped(tenant, self.0.load(Relaxed)).key_id)
    }

    async fn rotate(&self, tenant: &str) -> Result<String, StoreError> {
        Ok(wrapped(tenant, self.0.fetch_add(1, Relaxed) + 1).key_id)
    }

    async fn scope_secret(
        &self,
        _: &str,
        _: &ScopeId,
        _: Option<&WrappedKey>,
    ) -> Result<ScopeSecret, StoreError> {
        unreachable!("no scope is sealed for")
    }

    async fn first_scope_secret(&self, _: &str) -> Result<(ScopeSecret, Option<WrappedKey>), StoreError> {
        unreachable!("no scope is sealed for")
    }

    async fn next_scope_secret(
        &self,
        _: &str,
        _: &ScopeId,
    ) -> Result<(ScopeSecret, Option<WrappedKey>), StoreError> {
        unreachable!("no scope is sealed for")
    }
}
