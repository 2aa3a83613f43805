//! Starting a container from `frazil run`, waiting for it, and passing signals on meanwhile.
//!
//! Invariant: the thread that starts the container lives as long as this process: the parent death signal that
//! ties the two together is sent when the *thread* ends (prctl(2)).

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, Signal, getpgrp, pidfd_open, pidfd_send_signal};
use rustix::termios::tcsetpgrp;

use super::signals::{Arrival, Signals};
use super::spec::{self, SetupError, Spec};
use crate::exit::Exit;
use crate::failure::Advise;
use crate::inherited::bequeath;

/// Where this process's signals go: to the container once there is one; before that they end the process.
#[derive(Clone, Default, Debug)]
pub(crate) struct Addressee(Arc<Mutex<Option<OwnedFd>>>);

impl Addressee {
    /// Passes on what `signals` brings, from a thread of its own.
    pub(crate) fn follow(signals: Signals) -> Result<Self> {
        let addressee = Self::default();
        let follower = addressee.clone();
        let name = "signals".to_owned();
        thread::Builder::new()
            .name(name)
            .spawn(move || {
                while let Ok(arrival) = signals.next() {
                    follower.take(arrival);
                }
            })
            .context("cannot start a thread")?;
        Ok(addressee)
    }

    fn take(&self, arrival: Arrival) {
        let container = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (container.as_ref(), arrival) {
            (Some(container), Arrival::FromProcess(signal)) => pass_on(container, signal),
            // The terminal's signals reach the container by themselves.
            (Some(_), Arrival::FromTerminal(_)) | (_, Arrival::Child) => {}
            // Nothing to wait for: the namespace goes with this process, and the mounts in it.
            (None, Arrival::FromProcess(signal) | Arrival::FromTerminal(signal)) => end_by(signal),
        }
    }

    fn set(&self, container: OwnedFd) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(container);
    }
}

fn pass_on(container: &OwnedFd, signal: i32) {
    if let Some(signal) = Signal::from_named_raw(signal) {
        // A container that is gone needs no signal.
        let _ = pidfd_send_signal(container, signal);
    }
}

fn end_by(signal: i32) {
    let harmless = [libc::SIGWINCH, libc::SIGUSR1, libc::SIGUSR2];
    if !harmless.contains(&signal) {
        std::process::exit(Exit::of_signal(signal).code());
    }
}

/// A container's process that waits to be told what to set up. It ends when this is dropped.
pub(crate) struct Waiting {
    child: Child,
    socket: UnixStream,
}

/// A container whose command was started.
pub(crate) struct Running(Child);

impl Waiting {
    /// Starts the process, which takes as long as a round trip: an image is on its way meanwhile.
    pub(crate) fn start() -> Result<Self> {
        let (socket, theirs) = UnixStream::pair().context("cannot make a socket")?;
        let number = bequeath(&theirs).context("cannot hand a socket on")?.to_string();
        // The kernel's link works without the path, which a mount namespace may not have.
        let child = Command::new("/proc/self/exe")
            .arg0("frazil")
            .args(["container", "--socket", &number])
            // The container's processes might look at it; what its command gets is in the description.
            .env_clear()
            .spawn()
            .context("cannot start the container's process")?;
        Ok(Self { child, socket })
    }

    /// Starts the container and returns when its command is executing.
    pub(crate) fn launch(self, spec: &Spec, addressee: &Addressee) -> Result<Running> {
        let Self { mut child, socket } = self;
        if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
            addressee.set(pidfd_open(pid, PidfdFlags::empty()).context("cannot watch the container")?);
        }
        spec::send(&socket, spec).context("cannot describe the container")?;
        let failed: Option<SetupError> = spec::receive(&socket).context("cannot hear from the container")?;
        if let Some(error) = failed {
            let _ = child.wait();
            let exit = error.exit;
            return Err(error).exit(exit);
        }
        Ok(Running(child))
    }
}

impl Running {
    /// Waits for the container's end.
    pub(crate) fn wait(mut self) -> Result<Exit> {
        let status = self.0.wait().context("cannot wait for the container")?;
        take_terminal_back();
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => Exit::of_command(code),
            (None, Some(signal)) => Exit::of_signal(signal),
            (None, None) => Exit::NOT_STARTED,
        })
    }
}

/// A shell in the container may have made itself the terminal's foreground, and could not give it back: it does
/// not see processes outside.
fn take_terminal_back() {
    if std::io::stdin().is_terminal()
        && let Ok(terminal) = File::open("/dev/tty")
    {
        // Not ours to take if this was a background job.
        let _ = tcsetpgrp(&terminal, getpgrp());
    }
}
