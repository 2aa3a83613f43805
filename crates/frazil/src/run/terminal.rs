//! The caller's terminal while a container has one of its own: raw, and every byte passed on both ways.
//!
//! Invariant: whatever becomes of this process, the terminal gets back the settings that it had: by this process when
//! it ends, by a small one that outlives it when it is killed.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, Signal, WaitOptions, getpgrp, getpid, getppid, kill_process, set_parent_process_death_signal,
    waitpid,
};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

use super::console::WindowSize;
use super::signals::Signals;
use crate::failure::Advise;
use crate::fork::{fork, leave};

/// The most bytes that are passed on at once.
const PIECE_BYTES: usize = 16 << 10;

/// The caller's terminal, as it was found.
#[derive(Debug)]
pub(crate) struct Terminal {
    found: Termios,
    _keeper: Keeper,
}

/// The caller's terminal while it is raw.
#[derive(Debug)]
struct Raw(Terminal);

/// The process that gives the settings back if this one cannot.
#[derive(Debug)]
struct Keeper(Pid);

impl Terminal {
    /// The terminal on the standard input. This process must have one thread, whose `signals` are blocked.
    pub(crate) fn find(signals: &Signals) -> Result<Self> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Err(anyhow!("the standard input is no terminal, and --tty passes one on"))
                .hint("without --tty the command has the same input and output as frazil");
        }
        must_be_ours()?;
        let found = tcgetattr(&stdin).context("cannot read the terminal's settings")?;
        let keeper = keep(&found, signals)?;
        Ok(Self { found, _keeper: keeper })
    }

    /// How large it is.
    pub(crate) fn size(&self) -> Result<WindowSize> {
        WindowSize::of(io::stdin()).context("cannot read the terminal's size")
    }

    /// Passes everything on between this terminal and the container's `far` end, until the container closes that.
    pub(crate) fn join(self, far: OwnedFd) -> Result<Relay> {
        // A command that does not read must not keep what is typed waiting for ever. Nobody else has this end.
        ioctl_fionbio(&far, true).context("cannot set the container's terminal")?;
        let caller = self.into_raw()?;
        let far = Arc::new(far);
        let window = Window(Arc::downgrade(&far));
        let (output_ends, output_runs) = pipe_with(PipeFlags::CLOEXEC).context("cannot make a pipe")?;
        let input = far.clone();
        spawn("terminal-input", move || pass_input(&input, &output_ends))?;
        let output = spawn("terminal-output", move || {
            // A terminal that nobody has open any more says EIO. Where the caller's is gone, closing the container's
            // is how its processes are told.
            let _ = pass(far.as_fd(), io::stdout().as_fd());
            drop(output_runs);
        })?;
        Ok(Relay { caller, window, output })
    }

    fn into_raw(self) -> Result<Raw> {
        // An image may have been long on its way: the caller's shell can have the terminal back by now.
        must_be_ours()?;
        tcsetattr(io::stdin(), OptionalActions::Now, &raw(&self.found)).context("cannot set the terminal")?;
        Ok(Raw(self))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0.found);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
        let _ = waitpid(Some(self.0), WaitOptions::empty());
    }
}

/// Makes sure that this process's job has the terminal: one in the background must not change its settings.
fn must_be_ours() -> Result<()> {
    // A terminal that is nobody's controlling one has no foreground.
    if tcgetpgrp(io::stdin()).is_ok_and(|foreground| foreground != getpgrp()) {
        return Err(anyhow!("the terminal is another job's now")).hint("run it in the foreground");
    }
    Ok(())
}

fn raw(found: &Termios) -> Termios {
    let mut raw = found.clone();
    raw.make_raw();
    raw
}

/// Starts the process that gives a terminal its settings back when this one is gone without having done it.
fn keep(found: &Termios, signals: &Signals) -> Result<Keeper> {
    let parent = getpid();
    match fork().context("cannot start a process")? {
        Some(child) => Ok(Keeper(child)),
        None => {
            // Any signal wakes it, a terminal's among them; only its parent's end ends the wait.
            let tied = set_parent_process_death_signal(Some(Signal::USR1)).is_ok();
            while tied && getppid() == Some(parent) && signals.next().is_ok() {}
            give_back(found);
            leave()
        }
    }
}

/// Gives the settings back unless somebody has done so, as a shell does.
fn give_back(found: &Termios) {
    let raw = raw(found);
    let modes = |settings: &Termios| (settings.input_modes, settings.output_modes, settings.local_modes);
    if tcgetattr(io::stdin()).is_ok_and(|now| modes(&now) == modes(&raw)) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, found);
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(work).context("cannot start a thread")
}

/// Passes on what is typed, until the output has ended.
fn pass_input(far: &OwnedFd, output_ends: &OwnedFd) {
    let stdin = io::stdin();
    let mut piece = vec![0; PIECE_BYTES];
    while ready_before(PollFd::new(&stdin, PollFlags::IN), output_ends) {
        let mut typed = match rustix::io::read(&stdin, &mut piece) {
            Err(Errno::INTR | Errno::AGAIN) => continue,
            Ok(len) if len > 0 => piece.get(..len).unwrap_or_default(),
            _ => return,
        };
        while !typed.is_empty() {
            if !ready_before(PollFd::new(far, PollFlags::OUT), output_ends) {
                return;
            }
            match rustix::io::write(far, typed) {
                Ok(len) => typed = typed.get(len..).unwrap_or_default(),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => return,
            }
        }
    }
}

/// Waits for what is awaited; false if the output has ended, before or at the same time.
fn ready_before(awaited: PollFd<'_>, output_ends: &OwnedFd) -> bool {
    let mut ready = [awaited, PollFd::new(output_ends, PollFlags::empty())];
    loop {
        match poll(&mut ready, None) {
            Err(Errno::INTR) => {}
            polled => return polled.is_ok() && ready[1].revents().is_empty(),
        }
    }
}

/// Passes everything on as soon as it is there.
fn pass(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match rustix::io::read(from, &mut piece) {
            Ok(0) => return Ok(()),
            Ok(len) => write_all(to, piece.get(..len).unwrap_or_default())?,
            Err(Errno::INTR) => {}
            // The far end does not wait, for the sake of what is typed.
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(&from, PollFlags::IN)], None)),
            Err(error) => return Err(error),
        }
    }
}

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // The caller's own descriptors may be anything, and are shared with whoever set them up that way.
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(&to, PollFlags::OUT)], None)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The caller's terminal and a container's, joined.
#[derive(Debug)]
pub(crate) struct Relay {
    caller: Raw,
    window: Window,
    output: JoinHandle<()>,
}

impl Relay {
    /// What to tell when the caller's terminal changes its size.
    pub(crate) fn window(&self) -> Window {
        self.window.clone()
    }

    /// After the container's end: passes on what is left, and gives the caller's terminal its settings back.
    pub(crate) fn finish(self) {
        let Self { caller, output, .. } = self;
        let _ = output.join();
        drop(caller);
    }
}

/// The size of a container's terminal.
#[derive(Clone, Debug)]
pub(crate) struct Window(Weak<OwnedFd>);

impl Window {
    /// Makes it the size of the caller's.
    pub(crate) fn follow(&self) {
        if let (Some(far), Ok(size)) = (self.0.upgrade(), WindowSize::of(io::stdin())) {
            let _ = size.apply(&*far);
        }
    }
}
