//! Rotation in a keyring: a new key takes the name, and the old one is kept for what it wrapped or sealed.
//!
//! ```text
//! retired/scopes/<name>/<id>.key      what a scope's secret was
//! retired/tenants/<name>/<id>.key     what a tenant's wrapping key was
//! ```
//!
//! Invariant: no key file ever goes away. The old key has its retired name before the new one takes its place, and
//! one rotation at a time holds the lock of the directory. Whoever no longer needs a retired key deletes its file.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::StoreError;
use crate::key_file::{self, Key, KeyKind};
use crate::name::PlainName;

/// The most retired keys of one name that are listed.
const MAX_RETIRED: usize = 10_000;

/// Where the retired keys of a name are.
pub(crate) fn directory(keyring: &Path, kind: KeyKind, name: &PlainName<'_>) -> PathBuf {
    keyring.join("retired").join(kind.directory()).join(name.as_str())
}

/// A retired key by its id; `None` if there is no such key.
pub(crate) fn read(
    keyring: &Path,
    kind: KeyKind,
    name: &PlainName<'_>,
    id: &str,
) -> Result<Option<Key>, StoreError> {
    // Ids come out of manifests, and this one becomes a part of a path.
    if id.is_empty() || id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let key = key_file::read(&directory(keyring, kind, name).join(format!("{id}.key")), kind)?;
    Ok(key.filter(|key| key.id == id))
}

/// The ids of a name's retired keys, sorted.
pub(crate) fn retired(
    keyring: &Path,
    kind: KeyKind,
    name: &PlainName<'_>,
) -> Result<Vec<String>, StoreError> {
    let directory = directory(keyring, kind, name);
    let failed = |source| StoreError::io("list", directory.display(), source);
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut ids = Vec::new();
    for entry in entries.take(MAX_RETIRED) {
        let name = entry.map_err(failed)?.file_name();
        ids.extend(name.to_str().and_then(|name| name.strip_suffix(".key")).map(str::to_owned));
    }
    ids.sort();
    Ok(ids)
}

/// Puts the key that `generate` makes of the current one into its place. Nothing happens if `generate` makes none.
pub(crate) fn rotate(
    keyring: &Path,
    kind: KeyKind,
    name: &PlainName<'_>,
    generate: impl FnOnce(&Key) -> Result<Option<Key>, StoreError>,
) -> Result<Key, StoreError> {
    let keys = keyring.join(kind.directory());
    let path = keys.join(format!("{}.key", name.as_str()));
    let failed = |source| StoreError::io("rotate", path.display(), source);
    let lock = File::open(&keys).map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;

    let not_found = || StoreError::KeyNotFound { path: path.display().to_string() };
    let current = key_file::read(&path, kind)?.ok_or_else(not_found)?;
    let Some(new) = generate(&current)? else { return Ok(current) };
    let retired = directory(keyring, kind, name);
    key_file::make_directory(&retired)?;
    match fs::hard_link(&path, retired.join(format!("{}.key", current.id))) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    // The directories up to the keyring may be new, too.
    for directory in retired.ancestors().take_while(|directory| directory.starts_with(keyring)) {
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
    }
    key_file::replace(&path, kind, &new)?;
    Ok(new)
}
