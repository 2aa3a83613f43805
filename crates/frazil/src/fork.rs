//! A copy of this process, for what must be done apart from it.

use std::io;

use rustix::process::Pid;

/// Forks: the child's number in the parent, nothing in the child. This process must have one thread.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: there is one thread, so the child finds no lock held and may do whatever its parent could.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// Ends the child.
pub(crate) fn leave() -> ! {
    // SAFETY: what the parent has registered for its exit is not the child's to do.
    unsafe { libc::_exit(0) }
}
