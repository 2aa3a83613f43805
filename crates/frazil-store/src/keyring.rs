//! The keyring: the local key provider, a directory that only its owner may enter.
//!
//! ```text
//! scopes/<name>.key     a scope's secret
//! tenants/<name>.key    a tenant's wrapping key
//! ```
//!
//! Losing it loses every image that was sealed with it. [`crate::key_file`] has the format of a file.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use frazil_format::{DataKey, FormatError, ScopeSecret, WrappedKey, WrappingKey};
use zeroize::Zeroizing;

use crate::key_file::{self, Key, KeyKind};
use crate::leftovers::{self, MIN_AGE};
use crate::name::Label;
use crate::{KeyProvider, StoreError, layout};

/// What manifests call this provider.
const PROVIDER: &str = "keyring";

/// A directory of keys.
#[derive(Clone, Debug)]
pub struct Keyring {
    directory: PathBuf,
    missing: Missing,
}

/// What to do about a key that is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Missing {
    Create,
    Refuse,
}

impl Keyring {
    /// Opens a keyring, making its directory when it is not there. Keys are made when they are first needed to
    /// seal something.
    pub fn open_or_create(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let directory = directory.into();
        key_file::make_directory(&directory)?;
        for kind in [KeyKind::Scope, KeyKind::Tenant] {
            let keys = directory.join(kind.directory());
            key_file::make_directory(&keys)?;
            leftovers::sweep(&keys, layout::is_unfinished, MIN_AGE);
        }
        Ok(Self { directory, missing: Missing::Create })
    }

    /// Opens a keyring that is there. No key is made.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let directory = directory.into();
        key_file::check_directory(&directory)?;
        Ok(Self { directory, missing: Missing::Refuse })
    }

    /// The keyring's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The secret of a scope.
    pub fn scope(&self, name: &str) -> Result<ScopeSecret, StoreError> {
        let label = Label::scope(name)?;
        let key = self.key(KeyKind::Scope, &label, || {
            let secret = ScopeSecret::generate().map_err(cannot_make)?;
            Ok(Key { id: secret.id().to_string(), secret: Zeroizing::new(*secret.as_bytes()) })
        })?;
        let secret = ScopeSecret::from_bytes(*key.secret);
        if secret.id().to_string() != key.id {
            let path = self.path(KeyKind::Scope, &label).display().to_string();
            return Err(StoreError::KeyDamaged { path, reason: "its secret is not that of its id" });
        }
        Ok(secret)
    }

    /// Makes a tenant's wrapping key, if it has none and keys may be made, and says how wrapped keys name it.
    pub fn tenant(&self, name: &str) -> Result<String, StoreError> {
        self.wrapping_key(name).map(|(key_id, _)| key_id)
    }

    fn wrapping_key(&self, tenant: &str) -> Result<(String, WrappingKey), StoreError> {
        let label = Label::tenant(tenant)?;
        let key = self.key(KeyKind::Tenant, &label, || {
            let id = crate::random::bytes::<16>()?;
            let key = WrappingKey::generate().map_err(cannot_make)?;
            Ok(Key { id: hex::encode(id), secret: Zeroizing::new(*key.as_bytes()) })
        })?;
        Ok((format!("{tenant}/{}", key.id), WrappingKey::from_bytes(*key.secret)))
    }

    fn key(
        &self,
        kind: KeyKind,
        label: &Label<'_>,
        generate: impl Fn() -> Result<Key, StoreError>,
    ) -> Result<Key, StoreError> {
        let path = self.path(kind, label);
        match (key_file::read(&path, kind)?, self.missing) {
            (Some(key), _) => return Ok(key),
            (None, Missing::Refuse) => {}
            (None, Missing::Create) => {
                key_file::create(&path, kind, &generate()?)?;
                tracing::info!(path = %path.display(), "made a key");
            }
        }
        let not_found = || StoreError::KeyNotFound { path: path.display().to_string() };
        key_file::read(&path, kind)?.ok_or_else(not_found)
    }

    fn path(&self, kind: KeyKind, label: &Label<'_>) -> PathBuf {
        self.directory.join(kind.directory()).join(format!("{}.key", label.as_str()))
    }
}

#[async_trait]
impl KeyProvider for Keyring {
    async fn wrap(&self, tenant: &str, key: &DataKey, context: &[u8]) -> Result<WrappedKey, StoreError> {
        let (key_id, wrapping_key) = self.wrapping_key(tenant)?;
        let bytes = wrapping_key.wrap(key, context).map_err(cannot_make)?;
        Ok(WrappedKey { provider: PROVIDER.to_owned(), key_id, bytes })
    }

    async fn unwrap(
        &self,
        tenant: &str,
        wrapped: &WrappedKey,
        context: &[u8],
    ) -> Result<DataKey, StoreError> {
        // A key that is made now cannot have wrapped anything.
        let existing = Self { missing: Missing::Refuse, ..self.clone() };
        let (key_id, wrapping_key) = existing.wrapping_key(tenant)?;
        if (wrapped.provider.as_str(), wrapped.key_id.as_str()) != (PROVIDER, key_id.as_str()) {
            return Err(StoreError::KeyMismatch {
                wanted: format!("{} {}", wrapped.provider, wrapped.key_id),
                present: format!("{PROVIDER} {key_id}"),
            });
        }
        wrapping_key
            .unwrap(&wrapped.bytes, context)
            .map_err(|source| StoreError::KeyRefused { key: key_id, source })
    }
}

fn cannot_make(source: FormatError) -> StoreError {
    StoreError::CannotMakeKey { source }
}
