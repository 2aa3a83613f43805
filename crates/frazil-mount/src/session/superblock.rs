//! A FUSE superblock that is mounted nowhere yet: fsopen(2), fsconfig(2), fsmount(2).
//!
//! The mount is a file descriptor. It can be moved to a directory (the tree face), or serve as the root from
//! which one file is opened, and be forgotten (the block face): no name ever appears for it, and it cannot be
//! left behind.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};
use rustix::process::{getegid, geteuid};

/// The type after `fuse.` in /proc/mounts.
pub(crate) const SUBTYPE: &str = "frazil";

/// Bytes of one message that the kernel leaves in a file system context.
const KERNEL_MESSAGE_MAX: usize = 1024;

/// A FUSE superblock, mounted nowhere, and the device that serves it.
#[derive(Debug)]
pub(crate) struct FuseMount {
    /// To be served.
    pub(crate) device: OwnedFd,
    /// The detached mount.
    pub(crate) mount: OwnedFd,
}

impl FuseMount {
    /// Makes a superblock that shows `source` as its source.
    ///
    /// # Errors
    ///
    /// EPERM or EACCES for an ordinary user: [`mount_with_fusermount`](super::mount_with_fusermount) is for
    /// those.
    pub(crate) fn new(source: &str) -> io::Result<Self> {
        let device: OwnedFd = OpenOptions::new().read(true).write(true).open("/dev/fuse")?.into();
        let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
        let texts = [
            ("source", source.to_owned()),
            ("subtype", SUBTYPE.to_owned()),
            ("fd", device.as_raw_fd().to_string()),
            ("rootmode", "40000".to_owned()),
            ("user_id", geteuid().as_raw().to_string()),
            ("group_id", getegid().as_raw().to_string()),
            ("max_read", crate::reader::READ_LEN_MAX.to_string()),
        ];
        for (key, value) in texts {
            fsconfig_set_string(context.as_fd(), key, value.as_str())
                .map_err(|error| kernel_error(context.as_fd(), error))?;
        }
        for flag in ["ro", "default_permissions", "allow_other"] {
            fsconfig_set_flag(context.as_fd(), flag).map_err(|error| kernel_error(context.as_fd(), error))?;
        }
        fsconfig_create(context.as_fd()).map_err(|error| kernel_error(context.as_fd(), error))?;
        let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, host_mount_attributes())?;
        Ok(Self { device, mount })
    }
}

/// Read-only; and on the host no device node of an image opens a device and no set-user-id program of it gains
/// anything. (Both come back where they belong: an overlay in a container's namespaces judges by its own
/// flags.)
pub(crate) fn host_mount_attributes() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID
}

/// Shows a detached mount at a directory.
pub(crate) fn attach(mount: BorrowedFd<'_>, dir: &Path) -> io::Result<()> {
    Ok(move_mount(mount, "", CWD, dir, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// An error of fsconfig(2) with what the kernel says about it, which is more than the errno does.
pub(crate) fn kernel_error(context: BorrowedFd<'_>, error: rustix::io::Errno) -> io::Error {
    let mut message = [0; KERNEL_MESSAGE_MAX];
    match rustix::io::read(context, &mut message) {
        Ok(len) if len > 2 => {
            let message = String::from_utf8_lossy(&message[..len]);
            let text = message.trim_start_matches(['e', 'w', 'i']).trim();
            io::Error::new(io::Error::from(error).kind(), KernelError { errno: error, text: text.to_owned() })
        }
        _ => error.into(),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{errno} ({text})")]
struct KernelError {
    errno: rustix::io::Errno,
    text: String,
}

/// The errno behind an error, also one of [`kernel_error`].
pub(crate) fn errno_of(error: &io::Error) -> Option<i32> {
    let kernel = error.get_ref().and_then(|inner| inner.downcast_ref::<KernelError>());
    kernel.map(|kernel| kernel.errno.raw_os_error()).or(error.raw_os_error())
}
