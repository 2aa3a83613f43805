//! Descriptors that a process of frazil hands to another one, by number on its command line.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::io::{FdFlags, fcntl_setfd};

/// Lets the next process that is started keep the descriptor; returns the number to tell it.
pub(crate) fn bequeath(fd: impl AsFd) -> io::Result<i32> {
    fcntl_setfd(&fd, FdFlags::empty())?;
    Ok(fd.as_fd().as_raw_fd())
}

/// Takes the descriptor that this process was started with, and keeps it from the processes that it starts.
pub(crate) fn inherit(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: fcntl has no memory effects; a number that is not open is an error.
    if number <= 2 || unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the descriptor is open, and the parent that made it for this process named it to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
