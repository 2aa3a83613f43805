//! A container's own terminal, on the container's side: a pair from its own /dev/pts.
//!
//! Invariant: the command's controlling terminal is this one and never the caller's, so nothing that it does to its
//! terminal, from job control to its settings, reaches a process outside. The kernel's pty(7), tty_ioctl(4).

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use frazil_mount::passing;
use rustix::fs::{Mode, OFlags, fchown, open};
use rustix::io::Errno;
use rustix::process::{Uid, ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};
use serde::{Deserialize, Serialize};

use super::spec::{SetupError, Step};
use super::user::User;

/// How large a terminal is, in characters.
#[derive(Serialize, Deserialize, Clone, Copy, Debug)]
pub(crate) struct WindowSize {
    rows: u16,
    columns: u16,
}

impl WindowSize {
    /// The size of a terminal.
    pub(crate) fn of(terminal: impl AsFd) -> Result<Self, Errno> {
        let Winsize { ws_row: rows, ws_col: columns, .. } = tcgetwinsize(terminal)?;
        Ok(Self { rows, columns })
    }

    /// Makes a terminal this large; the kernel tells the processes in it.
    pub(crate) fn apply(self, terminal: impl AsFd) -> Result<(), Errno> {
        let Self { rows: ws_row, columns: ws_col } = self;
        tcsetwinsize(terminal, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 })
    }
}

/// Makes this process the leader of a session of its own, on a new terminal that is the user's, and hands the
/// terminal's other end to the process at the socket. To be called inside the container's root, while the
/// process is its root.
pub(super) fn take(size: WindowSize, socket: &UnixStream, user: &User) -> Result<(), SetupError> {
    let (far, near) = pair().step("make a terminal")?;
    size.apply(&near).step("size the terminal")?;
    // As after a login; the group stays that of terminals.
    fchown(&near, Some(Uid::from_raw(user.uid)), None).step("give the terminal to the user")?;
    setsid().step("make a session")?;
    ioctl_tiocsctty(&near).step("take the terminal")?;
    passing::send(socket, far.as_fd()).step("hand the terminal on")?;
    dup2_stdin(&near)
        .and_then(|()| dup2_stdout(&near))
        .and_then(|()| dup2_stderr(&near))
        .step("use the terminal")
}

/// The far end, which is the caller's, and the near one, opened through it: by no path, which could lead elsewhere.
fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let far = open("/dev/pts/ptmx", flags, Mode::empty())?;
    unlockpt(&far)?;
    let near = ioctl_tiocgptpeer(&far, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    Ok((far, near))
}
