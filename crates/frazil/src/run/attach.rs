//! Detached mounts: opened where a path means the host, attached where it means the container.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use serde::{Deserialize, Serialize};

/// What may be done with a mounted tree.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    /// Read and written.
    ReadWrite,
    /// Only read.
    ReadOnly,
}

/// A copy of the mounts at and below `path`, attached nowhere.
///
/// Recursive, because a user namespace may not take a tree apart that it did not put together.
pub(crate) fn clone_tree(path: &Path) -> io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(CWD, path, flags)?)
}

/// A new file system, mounted nowhere yet. An option without a value is a flag.
pub(crate) fn new_file_system(
    kind: &str,
    options: &[(&str, &str)],
    flags: MountAttrFlags,
) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for &(name, value) in options {
        let set = match value {
            "" => fsconfig_set_flag(&context, name),
            value => fsconfig_set_string(&context, name, value),
        };
        set.map_err(|error| explain(&context, error))?;
    }
    fsconfig_create(&context).map_err(|error| explain(&context, error))?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}

/// The kernel's own words on why a file system cannot be made: it leaves them in the context.
fn explain(context: &OwnedFd, error: rustix::io::Errno) -> io::Error {
    let mut words = [0; 1024];
    let said = rustix::io::read(context, &mut words).unwrap_or(0);
    match String::from_utf8_lossy(words.get(..said).unwrap_or_default()).trim() {
        "" => error.into(),
        words => io::Error::other(format!("{error} ({words})")),
    }
}

/// Mounts the tree at `path`; links are followed, so the root must be the container's.
pub(crate) fn attach(tree: &OwnedFd, path: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
    Ok(move_mount(tree, "", CWD, path, flags)?)
}

/// Mounts the tree on what `target` is.
pub(crate) fn attach_to(tree: &OwnedFd, target: &OwnedFd) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(tree, "", target, "", flags)?)
}

/// A copy of the mounts at and below what `place` is, attached nowhere.
pub(crate) fn clone_place(place: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    Ok(open_tree(place, "", flags)?)
}

/// Applies the access to every mount of the tree.
pub(crate) fn restrict(tree: &OwnedFd, access: Access) -> io::Result<()> {
    match access {
        Access::ReadWrite => Ok(()),
        Access::ReadOnly => set_attributes(tree, MountAttrFlags::MOUNT_ATTR_RDONLY),
    }
}

/// Adds mount attributes to every mount of a tree: mount_setattr(2), which rustix does not have.
pub(crate) fn set_attributes(tree: &OwnedFd, attributes: MountAttrFlags) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: u64::from(attributes.bits()),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a NUL-terminated literal, the structure outlives the call and has the size that is
    // given, and the descriptor is open.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
