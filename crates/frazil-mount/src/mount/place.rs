//! The directory that an image is mounted at, before and after.

use std::io;
use std::path::{Path, PathBuf};

use super::mountinfo::mount_at;
use super::resolve;
use crate::MountError;

/// Checks that an image can be mounted here, and gives the directory's full path.
pub(super) fn check(dir: &Path) -> Result<PathBuf, MountError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => MountError::NoDirectory { dir: dir.to_owned() },
        _ => MountError::Unreadable { dir: dir.to_owned(), source },
    };
    // A dead mount cannot be looked at, so it has to be recognised first.
    if let Ok(resolved) = resolve(dir)
        && let Some(mount) = mount_at(&resolved).map_err(unreadable)?
        && mount.is_frazil()
    {
        let (fs_type, source_name) = (mount.fs_type, mount.source);
        return Err(MountError::MountedAlready { dir: resolved, fs_type, source_name });
    }
    let resolved = dir.canonicalize().map_err(unreadable)?;
    if !resolved.metadata().map_err(unreadable)?.is_dir() {
        return Err(MountError::NotADirectory { dir: dir.to_owned() });
    }
    if resolved.read_dir().map_err(unreadable)?.next().is_some() {
        return Err(MountError::NotEmpty { dir: dir.to_owned() });
    }
    Ok(resolved)
}

/// Looks at the root and lists it, as the first program would: after this the tree is readable.
pub(super) fn look(dir: &Path) -> Result<(), MountError> {
    let not_readable = |source| MountError::NotReadable { source };
    dir.metadata().map_err(not_readable)?;
    match dir.read_dir() {
        Ok(mut entries) => match entries.next() {
            Some(Err(source)) => Err(not_readable(source)),
            Some(Ok(_)) | None => Ok(()),
        },
        // The image's own permissions: its root may be closed to whoever mounts it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(source) => Err(not_readable(source)),
    }
}
