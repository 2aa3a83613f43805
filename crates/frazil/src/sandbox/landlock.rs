//! Landlock: no files, no TCP, no abstract sockets (landlock(7), linux/landlock.h).
//!
//! Reaching a socket by its path is no right that Landlock handles: the seccomp filter refuses all sockets.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

const RULE_PATH_BENEATH: libc::c_long = 1;
const CREATE_RULESET_VERSION: libc::c_long = 1;

const REMOVE_FILE: u64 = 1 << 5;

/// All rights over files that the first version knows, and those that came with later ones.
const FIRST_FILE_RIGHTS: u64 = (1 << 13) - 1;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;

const BIND_TCP_AND_CONNECT_TCP: u64 = 0b11;
const ABSTRACT_SOCKETS: u64 = 0b01;

#[repr(C)]
struct RulesetAttr {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: i32,
}

/// Rules that threads can put on.
#[derive(Debug)]
pub(super) struct Rules(OwnedFd);

impl Rules {
    /// Nothing is allowed but to remove files in `removable`. None if the kernel has no Landlock.
    pub(super) fn new(removable: Option<&Path>) -> io::Result<Option<Self>> {
        let Some(version) = version() else { return Ok(None) };
        let since = |first: libc::c_long, rights: u64| if version >= first { rights } else { 0 };
        let attr = RulesetAttr {
            handled_access_fs: FIRST_FILE_RIGHTS | since(2, REFER) | since(3, TRUNCATE) | since(5, IOCTL_DEV),
            handled_access_net: since(4, BIND_TCP_AND_CONNECT_TCP),
            scoped: since(6, ABSTRACT_SOCKETS),
        };
        // An older kernel takes the whole structure as long as what it does not know is zero.
        // SAFETY: the pointer and the length are those of a structure that lives until the call returns.
        let fd = unsafe {
            libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attr, size_of::<RulesetAttr>(), 0)
        };
        // SAFETY: a descriptor that was made just now is nobody else's.
        let rules = Self(unsafe { OwnedFd::from_raw_fd(descriptor(fd)?) });
        if let Some(removable) = removable {
            rules.allow(removable, REMOVE_FILE)?;
        }
        Ok(Some(rules))
    }

    fn allow(&self, directory: &Path, rights: u64) -> io::Result<()> {
        let parent = rustix::fs::open(directory, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let attr = PathBeneathAttr { allowed_access: rights, parent_fd: parent.as_raw_fd() };
        // SAFETY: the pointer is of a structure that lives until the call returns, as its descriptor does.
        let added = unsafe {
            libc::syscall(
                libc::SYS_landlock_add_rule,
                self.0.as_raw_fd(),
                RULE_PATH_BENEATH,
                &raw const attr,
                0,
            )
        };
        if added == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// What a signal handler needs to put the rules on.
    pub(super) fn raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// Puts rules on this thread, which must not be able to gain privileges any more. Safe in a signal handler.
pub(super) fn restrict_this_thread(rules_fd: i32) -> bool {
    // SAFETY: the call takes no memory and changes the calling thread's credentials only.
    unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules_fd, 0) == 0 }
}

/// The version of the kernel's Landlock; none if it has none, or does not use it.
fn version() -> Option<libc::c_long> {
    let nothing = std::ptr::null::<RulesetAttr>();
    // SAFETY: asking for the version takes no memory.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, CREATE_RULESET_VERSION) };
    (version > 0).then_some(version)
}

fn descriptor(returned: libc::c_long) -> io::Result<i32> {
    if returned < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(returned).map_err(io::Error::other)
}
