//! Descriptors that are open and should not be: those that a process was started with although nobody meant
//! to pass them, and those that a thread with a table of its own has no use for.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Closes all but the standard three and a few more.
///
/// Nothing that shares this thread's table may own a descriptor in it, except for those.
///
/// # Errors
///
/// From close_range(2).
pub fn close_all_but(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<u32> = kept.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).collect();
    kept.sort_unstable();
    let mut first = FIRST;
    for fd in kept {
        if let Some(last) = fd.checked_sub(1).filter(|&last| last >= first) {
            close_range(first, last, 0)?;
        }
        first = fd.saturating_add(1).max(FIRST);
    }
    close_range(first, u32::MAX, 0)
}

/// Keeps all but the standard three from the next program that this process executes.
///
/// # Errors
///
/// From close_range(2).
pub fn close_on_execution() -> io::Result<()> {
    close_range(FIRST, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

const FIRST: u32 = 3;

fn close_range(first: u32, last: u32, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: no memory is touched, and the callers promise that nobody uses the descriptors any more.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
