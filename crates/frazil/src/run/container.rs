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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use frazil_mount::passing;
use rustix::process::{Pid, PidfdFlags, Signal, getpgrp, pidfd_open, pidfd_send_signal};
use rustix::termios::tcsetpgrp;

use super::signals::{Arrival, Signals};
use super::spec::{self, SetupError, Spec};
use super::terminal::{Relay, Terminal, Window};
use crate::exit::Exit;
use crate::failure::Advise;
use crate::inherited::bequeath;

/// Where this process's signals go: to the container once there is one; before that they end the process.
#[derive(Clone, Default, Debug)]
pub(crate) struct Addressee(Arc<Mutex<Option<Recipient>>>);

/// A container that signals are passed on to.
#[derive(Debug)]
struct Recipient {
    container: OwnedFd,
    connection: Connection,
}

/// How a container is connected to the caller's terminal.
#[derive(Debug)]
enum Connection {
    /// The container shares it.
    Shared,
    /// The container has one of its own, which is not joined to it yet.
    Awaited,
    /// The container's own one, of which this is the window, is joined to it.
    Joined(Window),
}

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
        let recipient = self.recipient();
        match (recipient.as_ref(), arrival) {
            (_, Arrival::Child) => {}
            (
                Some(Recipient { connection: Connection::Joined(window), .. }),
                Arrival::FromTerminal(libc::SIGWINCH) | Arrival::FromProcess(libc::SIGWINCH),
            ) => window.follow(),
            // The terminal's signals reach a container that shares it by themselves.
            (Some(Recipient { connection: Connection::Shared, .. }), Arrival::FromTerminal(_)) => {}
            (
                Some(Recipient { container, .. }),
                Arrival::FromProcess(signal) | Arrival::FromTerminal(signal),
            ) => pass_on(container, signal),
            // Nothing to wait for: the namespace goes with this process, and the mounts in it.
            (None, Arrival::FromProcess(signal) | Arrival::FromTerminal(signal)) => end_by(signal),
        }
    }

    fn set(&self, container: OwnedFd, connection: Connection) {
        *self.recipient() = Some(Recipient { container, connection });
    }

    /// The container's own terminal is joined from now on.
    fn join(&self, window: Window) {
        let mut recipient = self.recipient();
        // The size may have changed since the container was described.
        window.follow();
        if let Some(recipient) = recipient.as_mut() {
            recipient.connection = Connection::Joined(window);
        }
    }

    fn recipient(&self) -> MutexGuard<'_, Option<Recipient>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    terminal: UnixStream,
    caller: Option<Terminal>,
}

/// A container whose command was started.
pub(crate) struct Running {
    child: Child,
    relay: Option<Relay>,
}

impl Waiting {
    /// Starts the process, which takes as long as a round trip: the image is on its way meanwhile. The
    /// `caller`'s terminal is given if the container is to have one of its own.
    pub(crate) fn start(caller: Option<Terminal>) -> Result<Self> {
        let pair = || UnixStream::pair().context("cannot make a socket");
        let ((socket, their_socket), (terminal, their_terminal)) = (pair()?, pair()?);
        let number = |theirs: &UnixStream| bequeath(theirs).context("cannot hand a socket on");
        let (socket_number, terminal_number) = (number(&their_socket)?, number(&their_terminal)?);
        // The kernel's link works without the path, which a mount namespace may not have.
        let mut command = Command::new("/proc/self/exe");
        if caller.is_some() {
            // Out of the terminal's reach: the kernel keeps one pending signal of a kind, and one from the
            // terminal would take the place of one that is passed on.
            command.process_group(0);
        }
        let child = command
            .arg0("frazil")
            .args(["container", "--socket", &socket_number.to_string()])
            .args(["--terminal", &terminal_number.to_string()])
            // The container's processes might look at it; what its command gets is in the description.
            .env_clear()
            .spawn()
            .context("cannot start the container's process")?;
        Ok(Self { child, socket, terminal, caller })
    }

    /// Starts the container, whose own terminal is joined to the caller's if the description asks for one; returns
    /// when its command is executing.
    pub(crate) fn launch(self, spec: &Spec, addressee: &Addressee) -> Result<Running> {
        let Self { child, socket, terminal, caller } = self;
        let connection = caller.as_ref().map_or(Connection::Shared, |_| Connection::Awaited);
        addressee.set(watch(&child)?, connection);
        spec::send(&socket, spec).context("cannot describe the container")?;
        let relay = match caller {
            // If none comes the answer below says why.
            Some(caller) => passing::receive(&terminal).ok().map(|far| caller.join(far)).transpose()?,
            None => None,
        };
        if let Some(relay) = &relay {
            addressee.join(relay.window());
        }
        let failed: Option<SetupError> = spec::receive(&socket).context("cannot hear from the container")?;
        if let Some(error) = failed {
            let _ = Running { child, relay }.wait();
            let exit = error.exit;
            return Err(error).exit(exit);
        }
        Ok(Running { child, relay })
    }
}

impl Running {
    /// Waits for the container's end.
    pub(crate) fn wait(mut self) -> Result<Exit> {
        let status = self.child.wait().context("cannot wait for the container")?;
        match self.relay {
            Some(relay) => relay.finish(),
            None => take_terminal_back(),
        }
        Ok(match (status.code(), status.signal()) {
            (Some(code), _) => Exit::of_command(code),
            (None, Some(signal)) => Exit::of_signal(signal),
            (None, None) => Exit::NOT_STARTED,
        })
    }
}

fn watch(child: &Child) -> Result<OwnedFd> {
    let pid = Pid::from_raw(child.id().cast_signed()).context("it has no number")?;
    pidfd_open(pid, PidfdFlags::empty()).context("cannot watch the container")
}

/// A shell in the container may have put itself into the terminal's foreground, and could not give the
/// terminal back: it does not see processes outside.
fn take_terminal_back() {
    if std::io::stdin().is_terminal()
        && let Ok(terminal) = File::open("/dev/tty")
    {
        // Not ours to take if this was a background job.
        let _ = tcsetpgrp(&terminal, getpgrp());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signal that ends a container with this connection: first the terminal hangs up, then a process
    /// asks for the container's end.
    fn ended_by(connection: Connection) -> Option<i32> {
        let mut container = Command::new("sleep").arg("60").spawn().unwrap();
        let addressee = Addressee::default();
        addressee.set(watch(&container).unwrap(), connection);
        addressee.take(Arrival::FromTerminal(libc::SIGHUP));
        addressee.take(Arrival::FromProcess(libc::SIGTERM));
        container.wait().unwrap().signal()
    }

    #[test]
    fn what_the_terminal_sends_reaches_a_container_whose_own_one_is_not_joined_yet() {
        assert_eq!(ended_by(Connection::Awaited), Some(libc::SIGHUP));
        assert_eq!(ended_by(Connection::Shared), Some(libc::SIGTERM));
    }
}
