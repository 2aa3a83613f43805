//! Unmounting: whatever Frazil mounted, whether its agent is alive or not.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::mount::UnmountFlags;

use super::holders::{NAMED_MAX, holders};
use super::mountinfo::{mount_at, mounts};
use super::resolve;
use crate::MountError;
use crate::session::FUSERMOUNT;

const BUSY_ATTEMPTS: usize = 5;
const BUSY_PAUSE: Duration = Duration::from_millis(40);

/// Unmounts the image at a directory; its agent ends by itself. A mount whose agent was killed ("Transport
/// endpoint is not connected") goes as well.
///
/// # Errors
///
/// [`MountError::NotMounted`], [`MountError::NotOurs`], or [`MountError::Busy`] with the processes that use it.
pub fn unmount(dir: &Path) -> Result<(), MountError> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => MountError::NotMounted { dir: dir.to_owned() },
        _ => MountError::Unreadable { dir: dir.to_owned(), source },
    };
    let mut resolved = resolve(dir).map_err(unreadable)?;
    let mut mount = mount_at(&resolved).map_err(unreadable)?;
    if mount.is_none() {
        // Not dead, then: it may be a symlink to the mount.
        resolved = dir.canonicalize().map_err(unreadable)?;
        mount = mount_at(&resolved).map_err(unreadable)?;
    }
    let Some(mount) = mount else { return Err(MountError::NotMounted { dir: resolved }) };
    if !mount.is_frazil() {
        let (fs_type, source_name) = (mount.fs_type, mount.source);
        return Err(MountError::NotOurs { dir: resolved, fs_type, source_name });
    }
    detach_unless_busy(&resolved).map_err(|source| match source.raw_os_error() {
        Some(libc::EBUSY) => MountError::Busy { holders: users(&resolved), dir: resolved.clone() },
        _ => MountError::Kernel { step: "unmount", source },
    })
}

/// What uses a mount: processes, and mounts inside it.
fn users(dir: &Path) -> Vec<String> {
    let inside = mounts()
        .unwrap_or_default()
        .into_iter()
        .filter(|mount| mount.dir != dir && mount.dir.starts_with(dir));
    let mut users = holders(dir);
    users.extend(inside.take(NAMED_MAX).map(|mount| format!("the mount {}", mount.dir.display())));
    users
}

/// Unmounts the image at a directory, or takes it out of the tree if it is in use: it goes when its last user does.
///
/// # Errors
///
/// As [`unmount`], but for [`MountError::Busy`].
pub fn unmount_or_detach(dir: &Path) -> Result<(), MountError> {
    match unmount(dir) {
        Err(MountError::Busy { dir, .. }) => detach(&dir, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
            .map_err(|source| MountError::Kernel { step: "detach", source }),
        outcome => outcome,
    }
}

/// A process that only lists open files (as [`holders`] does) holds each for a moment; so busy is believed
/// only when it lasts.
fn detach_unless_busy(dir: &Path) -> io::Result<()> {
    for _ in 1..BUSY_ATTEMPTS {
        match detach(dir, UnmountFlags::NOFOLLOW) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => std::thread::sleep(BUSY_PAUSE),
            outcome => return outcome,
        }
    }
    detach(dir, UnmountFlags::NOFOLLOW)
}

/// Unmounts as root does, or as everyone else does.
pub(super) fn detach(dir: &Path, flags: UnmountFlags) -> io::Result<()> {
    match rustix::mount::unmount(dir, flags) {
        Err(rustix::io::Errno::PERM) => detach_with_fusermount(dir, flags),
        outcome => Ok(outcome?),
    }
}

fn detach_with_fusermount(dir: &Path, flags: UnmountFlags) -> io::Result<()> {
    let how = if flags.contains(UnmountFlags::DETACH) { "-uz" } else { "-u" };
    let output = Command::new(FUSERMOUNT).arg(how).arg("--").arg(dir).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if message.contains("busy") {
        Err(io::Error::from_raw_os_error(libc::EBUSY))
    } else {
        Err(io::Error::other(message))
    }
}
