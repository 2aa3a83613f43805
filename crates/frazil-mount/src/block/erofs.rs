//! Mounting EROFS on a file of a mount that has no name.
//!
//! EROFS wants a path (its source), and /proc/mounts shows that path for ever. So the path is relative: a thread
//! with a working directory of its own stands in the detached mount, where the file is called by the image's
//! name.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};
use rustix::process::fchdir;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::loop_device::LoopDevice;
use crate::MountError;
use crate::session::{errno_of, host_mount_attributes, kernel_error};

/// How the kernel's EROFS reaches the block image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Backing {
    /// It reads the file itself, past the file's page cache (`directio`).
    FileDirect,
    /// It reads the file itself.
    File,
    /// It reads a loop device over the file.
    Loop,
}

/// Mounts EROFS on the file `name` in the root of `root`, the best way that this kernel knows.
pub(super) fn mount_detached(root: BorrowedFd<'_>, name: &CStr) -> Result<(OwnedFd, Backing), MountError> {
    let step = |step| move |source| MountError::Kernel { step, source };
    let in_place = |backing| {
        let create = || create_in(root, name, backing);
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().spawn_scoped(scope, create)?;
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the mounting thread died")))
        })
    };
    let error = match in_place(Backing::FileDirect) {
        Ok(mount) => return Ok((mount, Backing::FileDirect)),
        // Before `directio` (6.15) it is an unknown option.
        Err(error) if errno_of(&error) == Some(libc::EINVAL) => match in_place(Backing::File) {
            Ok(mount) => return Ok((mount, Backing::File)),
            Err(error) => error,
        },
        Err(error) => error,
    };
    // Before file-backed mounts (6.12) a file is no block device.
    if errno_of(&error) != Some(libc::ENOTBLK) {
        return Err(MountError::Kernel { step: "mount EROFS on the block image", source: error });
    }
    let file = openat(root, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| step("open the block image")(error.into()))?;
    let device = LoopDevice::over(file.as_fd()).map_err(step("set up a loop device"))?;
    let mount = create(device.path(), Backing::Loop).map_err(step("mount EROFS on a loop device"))?;
    Ok((mount, Backing::Loop))
}

/// Runs on a thread of its own, which ends here.
fn create_in(root: BorrowedFd<'_>, name: &CStr, backing: Backing) -> io::Result<OwnedFd> {
    // SAFETY: only the working directory is unshared, of a thread that does nothing but the next lines.
    unsafe { unshare_unsafe(UnshareFlags::FS) }?;
    fchdir(root)?;
    create(name, backing)
}

fn create(source: &CStr, backing: Backing) -> io::Result<OwnedFd> {
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let said = |error| kernel_error(context.as_fd(), error);
    fsconfig_set_string(context.as_fd(), "source", source).map_err(said)?;
    fsconfig_set_flag(context.as_fd(), "ro").map_err(said)?;
    if backing == Backing::FileDirect {
        fsconfig_set_flag(context.as_fd(), "directio").map_err(said)?;
    }
    fsconfig_create(context.as_fd()).map_err(said)?;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, host_mount_attributes())?)
}
