//! Places to mount on: each opened once, and from then on named by its descriptor.
//!
//! Invariant: no symbolic link leads to a place that the kernel's file systems are mounted on, or hides one: a
//! link in the image would put the mask of `/proc/kcore` somewhere else than the file.

use std::fmt::Display;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstatfs, mkdirat, openat2};
use rustix::io::Errno;

use super::attach;
use super::spec::{SetupError, Step};

const NO_LINKS: ResolveFlags = ResolveFlags::NO_SYMLINKS.union(ResolveFlags::IN_ROOT);

/// Opens the directory at `path`, below the working directory however it is written, made if need be.
fn directory(path: &str) -> Result<OwnedFd, SetupError> {
    match mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error).step(format!("make {path}")),
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat2(CWD, path, flags, Mode::empty(), NO_LINKS).map_err(in_words).step(format!("mount {path}"))
}

/// Mounts a tree on a directory; the working directory is the root, or `path` relative.
pub(crate) fn attach_directory(tree: &OwnedFd, path: &str) -> Result<(), SetupError> {
    attach::attach_to(tree, &directory(path)?).step(format!("mount {path}"))
}

/// Mounts a file on a new one.
pub(crate) fn attach_node(tree: &OwnedFd, path: &str) -> Result<(), SetupError> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDONLY | OFlags::CLOEXEC;
    let node = openat2(CWD, path, flags, Mode::from_raw_mode(0o644), NO_LINKS).map_err(in_words);
    attach::attach_to(tree, &node.step(format!("make {path}"))?).step(format!("mount {path}"))
}

/// Opens `path` below a mounted tree; nothing if there is none.
pub(crate) fn below(tree: impl AsFd, path: &str) -> Result<Option<OwnedFd>, Errno> {
    match openat2(tree, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), NO_LINKS) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes sure that /proc is what the kernel tells of processes: what comes later believes it.
pub(crate) fn proc_is_proc() -> Result<(), SetupError> {
    let kind = fstatfs(directory("/proc")?).step("look at /proc")?.f_type;
    if kind == PROC_SUPER_MAGIC { Ok(()) } else { Err("something else lies on it").step("mount /proc") }
}

fn in_words(error: Errno) -> Box<dyn Display> {
    match error {
        Errno::LOOP => Box::new("the image has a symbolic link there"),
        Errno::NOTDIR => Box::new("the image has a file there"),
        error => Box::new(error),
    }
}
