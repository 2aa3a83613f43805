//! The keyring: the local key provider, a directory that only its owner may enter.
//!
//! ```text
//! scopes/<name>.key     a scope's secret
//! tenants/<name>.key    a tenant's wrapping key
//! retired/              what was rotated away, by its id
//! ```
//!
//! Losing it loses every image that was sealed with it. [`crate::key_file`] has the format of a file. A second machine
//! needs a copy: of `tenants/T.key` and `scopes/T.key` for what the tenant T converts, and of `scopes/shared.key`.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use frazil_format::{DataKey, FormatError, ScopeId, ScopeSecret, WrapContext, WrappedKey, WrappingKey};
use zeroize::Zeroizing;

use crate::key_file::{self, Key, KeyKind};
use crate::leftovers::{self, MIN_AGE};
use crate::name::PlainName;
use crate::{KeyProvider, StoreError, key_rotation, layout};

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
        let name = PlainName::scope(name)?;
        let key = self.key(KeyKind::Scope, &name, new_scope)?;
        self.secret_in(&name, &key)
    }

    /// The secret of a scope by its id, current or retired.
    fn scope_of_id(&self, name: &str, id: &ScopeId) -> Result<ScopeSecret, StoreError> {
        let (name, digits) = (PlainName::scope(name)?, id.to_string());
        let current = key_file::read(&self.path(KeyKind::Scope, &name), KeyKind::Scope)?;
        let key = match current.filter(|key| key.id == digits) {
            Some(key) => Some(key),
            None => key_rotation::read(&self.directory, KeyKind::Scope, &name, &digits)?,
        };
        let mismatch = || StoreError::ScopeMismatch { scope: name.as_str().to_owned(), wanted: *id };
        self.secret_in(&name, &key.ok_or_else(mismatch)?)
    }

    fn secret_in(&self, name: &PlainName<'_>, key: &Key) -> Result<ScopeSecret, StoreError> {
        let secret = ScopeSecret::from_bytes(*key.secret);
        if secret.id().to_string() != key.id {
            let path = self.path(KeyKind::Scope, name).display().to_string();
            return Err(StoreError::KeyDamaged { path, reason: "its secret is not that of its id" });
        }
        Ok(secret)
    }

    /// Makes a tenant's wrapping key, if it has none and keys may be made, and says how wrapped keys name it.
    pub fn tenant(&self, name: &str) -> Result<String, StoreError> {
        self.wrapping_key(name).map(|(key_id, _)| key_id)
    }

    /// The ids of a tenant's keys that were rotated away.
    pub fn retired(&self, tenant: &str) -> Result<Vec<String>, StoreError> {
        let ids = key_rotation::retired(&self.directory, KeyKind::Tenant, &PlainName::tenant(tenant)?)?;
        Ok(ids.iter().map(|id| key_id(tenant, id)).collect())
    }

    fn wrapping_key(&self, tenant: &str) -> Result<(String, WrappingKey), StoreError> {
        let key = self.key(KeyKind::Tenant, &PlainName::tenant(tenant)?, new_wrapping_key)?;
        Ok((key_id(tenant, &key.id), WrappingKey::from_bytes(*key.secret)))
    }

    /// The key of a tenant that wrapped something, current or retired.
    fn wrapping_key_of(&self, tenant: &str, wrapped: &WrappedKey) -> Result<WrappingKey, StoreError> {
        // A key that is made now cannot have wrapped anything.
        let existing = Self { missing: Missing::Refuse, ..self.clone() };
        let (present, current) = existing.wrapping_key(tenant)?;
        if (wrapped.provider.as_str(), wrapped.key_id.as_str()) == (PROVIDER, present.as_str()) {
            return Ok(current);
        }
        let name = PlainName::tenant(tenant)?;
        let id = wrapped.key_id.rsplit_once('/').filter(|(owner, _)| *owner == tenant).map(|(_, id)| id);
        let retired = match id.filter(|_| wrapped.provider == PROVIDER) {
            Some(id) => key_rotation::read(&self.directory, KeyKind::Tenant, &name, id)?,
            None => None,
        };
        let mismatch = || StoreError::KeyMismatch {
            wanted: format!("{} {}", wrapped.provider, wrapped.key_id),
            present: format!("{PROVIDER} {present}"),
        };
        Ok(WrappingKey::from_bytes(*retired.ok_or_else(mismatch)?.secret))
    }

    fn key(
        &self,
        kind: KeyKind,
        name: &PlainName<'_>,
        generate: impl Fn() -> Result<Key, StoreError>,
    ) -> Result<Key, StoreError> {
        let path = self.path(kind, name);
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

    fn path(&self, kind: KeyKind, name: &PlainName<'_>) -> PathBuf {
        self.directory.join(kind.directory()).join(format!("{}.key", name.as_str()))
    }
}

#[async_trait]
impl KeyProvider for Keyring {
    async fn wrap(
        &self,
        tenant: &str,
        key: &DataKey,
        context: &WrapContext,
    ) -> Result<WrappedKey, StoreError> {
        let (key_id, wrapping_key) = self.wrapping_key(tenant)?;
        let bytes = wrapping_key.wrap(key, context).map_err(cannot_make)?;
        Ok(WrappedKey { provider: PROVIDER.to_owned(), key_id, bytes })
    }

    async fn unwrap(
        &self,
        tenant: &str,
        wrapped: &WrappedKey,
        context: &WrapContext,
    ) -> Result<DataKey, StoreError> {
        self.wrapping_key_of(tenant, wrapped)?
            .unwrap(&wrapped.bytes, context)
            .map_err(|source| StoreError::KeyRefused { key: wrapped.key_id.clone(), source })
    }

    async fn current_key(&self, tenant: &str) -> Result<String, StoreError> {
        self.tenant(tenant)
    }

    async fn rotate(&self, tenant: &str) -> Result<String, StoreError> {
        let name = PlainName::tenant(tenant)?;
        let new = |_: &Key| new_wrapping_key().map(Some);
        let key = key_rotation::rotate(&self.directory, KeyKind::Tenant, &name, new)?;
        Ok(key_id(tenant, &key.id))
    }

    async fn scope_secret(
        &self,
        scope: &str,
        id: &ScopeId,
        _: Option<&WrappedKey>,
    ) -> Result<ScopeSecret, StoreError> {
        self.scope_of_id(scope, id)
    }

    async fn first_scope_secret(&self, scope: &str) -> Result<(ScopeSecret, Option<WrappedKey>), StoreError> {
        Ok((self.scope(scope)?, None))
    }

    async fn next_scope_secret(
        &self,
        scope: &str,
        old: &ScopeId,
    ) -> Result<(ScopeSecret, Option<WrappedKey>), StoreError> {
        let name = PlainName::scope(scope)?;
        // A current secret that the record does not name yet was made by a rotation that was broken off.
        let unless_new = |current: &Key| match current.id == old.to_string() {
            true => new_scope().map(Some),
            false => Ok(None),
        };
        let key = key_rotation::rotate(&self.directory, KeyKind::Scope, &name, unless_new)?;
        Ok((self.secret_in(&name, &key)?, None))
    }
}

fn new_scope() -> Result<Key, StoreError> {
    let secret = ScopeSecret::generate().map_err(cannot_make)?;
    Ok(Key { id: secret.id().to_string(), secret: Zeroizing::new(*secret.as_bytes()) })
}

fn new_wrapping_key() -> Result<Key, StoreError> {
    let id = crate::random::bytes::<16>()?;
    let key = WrappingKey::generate().map_err(cannot_make)?;
    Ok(Key { id: hex::encode(id), secret: Zeroizing::new(*key.as_bytes()) })
}

fn key_id(tenant: &str, id: &str) -> String {
    format!("{tenant}/{id}")
}

fn cannot_make(source: FormatError) -> StoreError {
    StoreError::CannotMakeKey { source }
}
