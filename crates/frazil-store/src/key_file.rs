//! A key file: one secret of 32 bytes, readable by its owner alone.
//!
//! ```text
//! frazil key, version 1
//! kind: scope
//! id: 0f1e2d3c4b5a69788796a5b4c3d2e1f0
//! secret: <64 hexadecimal digits>
//! ```
//!
//! A scope's id is derived from its secret, so a scope file checks itself; a tenant's key has a random id, by which
//! wrapped keys name it. Invariants: a key file appears whole or not at all, is replaced by a rotation alone
//! ([`crate::key_rotation`]), and when several processes make the same one at once, all of them end with the one that
//! was first.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::StoreError;

const HEADER: &str = "frazil key, version 1";

/// The longest key file, in bytes.
const MAX_FILE_BYTES: u64 = 1024;

/// Opening something that is not a file must not wait for whoever has the other end.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// What others may not do to a key file: anything.
const OTHERS: u32 = 0o077;

/// What others may not do to a directory of keys: put other keys into it.
const OTHERS_WRITE: u32 = 0o022;

/// What a key file is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyKind {
    Scope,
    Tenant,
}

impl KeyKind {
    /// The directory of such keys, in a keyring.
    pub(crate) fn directory(self) -> &'static str {
        match self {
            Self::Scope => "scopes",
            Self::Tenant => "tenants",
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Scope => "scope",
            Self::Tenant => "tenant",
        }
    }
}

/// What a key file says.
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) secret: Zeroizing<[u8; 32]>,
}

/// Makes a directory that only its owner may enter, and its parents; one that is there must not be writable by
/// others.
pub(crate) fn make_directory(path: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| StoreError::io("create", path.display(), source))?;
    check_directory(path)
}

/// Refuses a directory that others may write to.
pub(crate) fn check_directory(path: &Path) -> Result<(), StoreError> {
    let metadata = path.metadata().map_err(|source| match source.kind() {
        ErrorKind::NotFound => StoreError::KeyNotFound { path: path.display().to_string() },
        _ => StoreError::io("look at", path.display(), source),
    })?;
    refuse_mode(path, metadata.mode(), OTHERS_WRITE, "others may write to a directory of keys")
}

/// Reads a key file; `None` if it is not there.
pub(crate) fn read(path: &Path, kind: KeyKind) -> Result<Option<Key>, StoreError> {
    let failed = |source| StoreError::io("read", path.display(), source);
    let file = match OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        let (path, reason) = (path.display().to_string(), "it is not a regular file");
        return Err(StoreError::KeyDamaged { path, reason });
    }
    refuse_mode(path, metadata.mode(), OTHERS, "others than its owner may use the key")?;
    // The buffer has its final size from the start: growing would leave unwiped copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_FILE_BYTES as usize + 1));
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
    parse(&text, kind)
        .map(Some)
        .map_err(|reason| StoreError::KeyDamaged { path: path.display().to_string(), reason })
}

/// Makes a key file, unless there is one. Durable when it returns.
pub(crate) fn create(path: &Path, kind: KeyKind, key: &Key) -> Result<(), StoreError> {
    put(path, kind, key, |unfinished| match std::fs::hard_link(unfinished, path) {
        // Another process was faster: its key is the key.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => std::fs::remove_file(unfinished),
        Ok(()) => std::fs::remove_file(unfinished),
        refused => refused,
    })
}

/// Puts a key into the place of another. Durable when it returns.
pub(crate) fn replace(path: &Path, kind: KeyKind, key: &Key) -> Result<(), StoreError> {
    put(path, kind, key, |unfinished| std::fs::rename(unfinished, path))
}

/// Writes a key file beside its place, and has it put there.
fn put(
    path: &Path,
    kind: KeyKind,
    key: &Key,
    place: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<(), StoreError> {
    let failed = |source| StoreError::io("create", path.display(), source);
    let Some(directory) = path.parent() else { return Err(failed(ErrorKind::InvalidInput.into())) };
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!("#{}", u64::from_le_bytes(crate::random::bytes()?)));
    let unfinished = Path::new(&unfinished);
    let placed = write(unfinished, &render(kind, key)).and_then(|()| place(unfinished));
    if placed.is_err() {
        let _ = std::fs::remove_file(unfinished);
    }
    placed.and_then(|()| File::open(directory)?.sync_all()).map_err(failed)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn refuse_mode(path: &Path, mode: u32, refused: u32, reason: &'static str) -> Result<(), StoreError> {
    let mode = mode & 0o7777;
    if mode & refused == 0 {
        return Ok(());
    }
    Err(StoreError::KeyExposed { path: path.display().to_string(), mode, reason })
}

fn render(kind: KeyKind, key: &Key) -> Zeroizing<String> {
    let mut secret = Zeroizing::new([0; 64]);
    // 64 digits are the length of 32 bytes: this cannot fail.
    let _ = hex::encode_to_slice(key.secret.as_slice(), &mut *secret);
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES as usize));
    for part in [HEADER, "\nkind: ", kind.as_str(), "\nid: ", &key.id, "\nsecret: "] {
        text.push_str(part);
    }
    text.extend(secret.iter().copied().map(char::from));
    text.push('\n');
    text
}

fn parse(text: &[u8], kind: KeyKind) -> Result<Key, &'static str> {
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err("it is too long");
    }
    let text = std::str::from_utf8(text).map_err(|_| "it is not text")?;
    let mut lines = text.lines();
    if lines.next() != Some(HEADER) {
        return Err("it does not start with 'frazil key, version 1'");
    }
    let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(": ");
    if field("kind").ok_or("it does not say its kind")? != kind.as_str() {
        return Err("it is a key of another kind");
    }
    let id = field("id").ok_or("it has no id")?;
    let digits = field("secret").ok_or("it has no secret")?;
    let mut secret = Zeroizing::new([0; 32]);
    hex::decode_to_slice(digits, secret.as_mut_slice())
        .map_err(|_| "its secret is not 64 hexadecimal digits")?;
    if lines.next().is_some() {
        return Err("something follows its secret");
    }
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("its id is not hexadecimal");
    }
    Ok(Key { id: id.to_owned(), secret })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key { id: "c0ffee".to_owned(), secret: Zeroizing::new([0x5a; 32]) }
    }

    #[test]
    fn a_key_file_is_what_the_format_document_shows_and_reads_back() {
        let text = render(KeyKind::Tenant, &key());
        let document = include_str!("../../../docs/FORMAT.md");
        assert!(document.contains(&format!("```text\n{}```\n", *text)), "docs/FORMAT.md lacks {}", *text);
        let parsed = parse(text.as_bytes(), KeyKind::Tenant).unwrap();
        assert_eq!((parsed.id.as_str(), *parsed.secret), ("c0ffee", [0x5a; 32]));
    }

    #[test]
    fn every_cut_of_a_key_file_is_refused() {
        let text = render(KeyKind::Scope, &key());
        // Without its last line feed it is still whole.
        for len in 0..text.len() - 1 {
            assert!(parse(&text.as_bytes()[..len], KeyKind::Scope).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_key_of_another_kind_or_version_is_refused() {
        let text = render(KeyKind::Scope, &key());
        assert_eq!(parse(text.as_bytes(), KeyKind::Tenant).err(), Some("it is a key of another kind"));
        let later = text.replace("version 1", "version 2");
        assert!(parse(later.as_bytes(), KeyKind::Scope).is_err());
        let longer = format!("{}more\n", *text);
        assert!(parse(longer.as_bytes(), KeyKind::Scope).is_err());
        assert!(parse(&vec![b'x'; 4096], KeyKind::Scope).is_err());
    }
}
