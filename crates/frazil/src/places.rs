//! Where things are kept when nobody says otherwise: the XDG base directories, or the system's for root.
//!
//! Invariant: the runtime directory belongs to the caller and nobody else can write to it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::failure::Advise;

/// The store that is used by default.
pub(crate) fn store() -> Option<PathBuf> {
    Some(xdg("XDG_DATA_HOME", ".local/share")?.join("frazil/store"))
}

/// The keyring that is used by default.
pub(crate) fn keys() -> Option<PathBuf> {
    Some(xdg("XDG_CONFIG_HOME", ".config")?.join("frazil/keys"))
}

/// The user's configuration file.
pub(crate) fn configuration() -> Option<PathBuf> {
    Some(xdg("XDG_CONFIG_HOME", ".config")?.join("frazil/config.toml"))
}

/// What a host cache keeps on disk by default.
pub(crate) fn cache() -> Option<PathBuf> {
    Some(xdg("XDG_CACHE_HOME", ".cache")?.join("frazil"))
}

/// The base directory of `variable`, or `fallback` in the home directory. The specification ignores relative
/// paths.
fn xdg(variable: &str, fallback: &str) -> Option<PathBuf> {
    let absolute =
        |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(fallback)))
}

/// The directory for what lives as long as a mount: made if need be.
///
/// `$XDG_RUNTIME_DIR/frazil`; without a session `/run/frazil` for root, `/tmp/frazil-UID` for others.
pub(crate) fn runtime() -> Result<PathBuf> {
    let uid = rustix::process::geteuid();
    let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let path = match session {
        Some(session) => session.join("frazil"),
        None if uid.is_root() => PathBuf::from("/run/frazil"),
        None => std::env::temp_dir().join(format!("frazil-{}", uid.as_raw())),
    };
    private_directory(&path)?;
    Ok(path)
}

/// A directory of the caller's own at `path`, made if need be.
pub(crate) fn private_directory(path: &Path) -> Result<()> {
    let made = DirBuilder::new().mode(0o700).recursive(true).create(path);
    made.with_context(|| format!("cannot make the directory {}", path.display()))
        .hint("set XDG_RUNTIME_DIR to a directory of your own")?;
    let found = fs::symlink_metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    let private = found.permissions().mode() & 0o022 == 0;
    ensure!(ours && private, "{} is not a directory that only you can write to", path.display());
    Ok(())
}
