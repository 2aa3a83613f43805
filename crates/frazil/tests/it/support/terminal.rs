//! A person's terminal: what is typed, what is shown, how large it is.
//!
//! Invariant: what runs in it has it as its controlling terminal, as in a window of a desktop.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use super::mount::soon;
use super::tool::{cannot_start, tool};

/// How long a look at the screen takes while nothing changes: so long it takes to close the window.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Long enough for somebody who reads what is typed to have done so.
const A_WHILE: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// Far more lines than the kernel keeps for terminals that nobody reads.
const LINES_LIMIT: usize = 1 << 14;

/// A terminal that is open until this is dropped.
pub(crate) struct Terminal {
    screen_end: Arc<File>,
    program_end: OwnedFd,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// A terminal of this many lines and columns.
    pub(crate) fn new(rows: u16, columns: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let screen_end = openpt(flags).unwrap();
        grantpt(&screen_end).unwrap();
        unlockpt(&screen_end).unwrap();
        let program_end = ioctl_tiocgptpeer(&screen_end, flags).unwrap();
        let screen_end = Arc::new(File::from(screen_end));
        let shown = Arc::new(Mutex::new(String::new()));
        let (screen, text) = (Arc::downgrade(&screen_end), shown.clone());
        thread::spawn(move || show(&screen, &text));
        let terminal = Self { screen_end, program_end, shown };
        terminal.resize(rows, columns);
        terminal
    }

    /// Makes the window larger or smaller.
    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.screen_end, size).unwrap();
    }

    /// A program in front of another one, which gets a session on this terminal.
    pub(crate) fn session() -> Command {
        let mut command = tool("setsid");
        command.arg("--ctty");
        command
    }

    /// Starts the program with this terminal for its input and output.
    #[track_caller]
    pub(crate) fn start(&self, command: &mut Command) -> Child {
        let end = || self.program_end.try_clone().unwrap();
        match command.stdin(end()).stdout(end()).stderr(end()).spawn() {
            Ok(child) => child,
            Err(error) => panic!("{}", cannot_start(command.get_program(), &error)),
        }
    }

    /// Presses these keys.
    pub(crate) fn types(&self, keys: &str) {
        (&*self.screen_end).write_all(keys.as_bytes()).unwrap();
    }

    /// Presses keys, line by line, until nobody takes any more.
    #[track_caller]
    pub(crate) fn types_until_it_is_full(&self) {
        let line = [&[b'x'; 63][..], b"\n"].concat();
        ioctl_fionbio(&self.screen_end, true).unwrap();
        let taken = (0..LINES_LIMIT).find(|_| {
            let mut ready = [PollFd::new(&self.screen_end, PollFlags::OUT)];
            let full = poll(&mut ready, Some(&A_WHILE)).unwrap() == 0;
            if !full {
                let _ = (&*self.screen_end).write(&line).unwrap();
            }
            full
        });
        ioctl_fionbio(&self.screen_end, false).unwrap();
        assert!(taken.is_some(), "somebody reads all that is typed");
    }

    /// Waits until this is shown.
    #[track_caller]
    pub(crate) fn awaits(&self, text: &str) {
        let shown = || self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(soon(|| shown().contains(text)), "{text:?} is not shown, but: {:?}", shown());
    }

    /// Closes the window, whatever runs in it.
    pub(crate) fn close(self) {
        let Self { screen_end, program_end, .. } = self;
        drop((screen_end, program_end));
    }

    /// How it treats what is typed and shown.
    pub(crate) fn settings(&self) -> Termios {
        tcgetattr(&self.program_end).unwrap()
    }
}

/// Keeps what is shown, until the window is closed.
fn show(screen: &Weak<File>, text: &Mutex<String>) {
    let mut piece = [0; 4096];
    while let Some(screen) = screen.upgrade() {
        let mut ready = [PollFd::new(&screen, PollFlags::IN)];
        if poll(&mut ready, Some(&GLANCE)).unwrap() > 0
            && let Ok(len) = (&*screen).read(&mut piece)
        {
            let piece = String::from_utf8_lossy(&piece[..len]);
            text.lock().unwrap_or_else(PoisonError::into_inner).push_str(&piece);
        }
    }
}
