//! What an agent gives up once it reads through a host cache: everything but the sockets and files that it has open.
//!
//! Invariants: after [`Sandbox::close`] no thread of the process, present or future, can open a file, run a
//! program, make a socket, connect one, send a signal to another process, or use a capability. An attacker
//! who takes the process over finds the keys of one image, and can send them only to peers that are connected
//! already: the host cache, whoever asks about the mount, and the log. No single measure would do: a seccomp
//! filter knows no paths, Landlock does not know every kind of socket, and a network namespace does not keep
//! files away.
//!
//! Two things come before, while the process has one thread: [`Sandbox::prepare`] leaves the network, and starts
//! the process that connects and unmounts when this one no longer can.

mod attendant;
mod landlock;
mod probe;
mod seccomp;
mod threads;

use std::path::Path;

use anyhow::{Context, Result};
use rustix::process::{DumpableBehavior, geteuid, set_dumpable_behavior};

pub(crate) use attendant::{Attendant, Duties};
pub(crate) use probe::Probe;

/// A process that is about to close itself in.
#[derive(Debug)]
pub(crate) struct Sandbox {
    attendant: Attendant,
}

impl Sandbox {
    /// Does what can only be done while the process has one thread, and holds no key yet.
    pub(crate) fn prepare(duties: &Duties) -> Result<Self> {
        let attendant = Attendant::start(duties).context("cannot start the process that stays outside")?;
        if geteuid().is_root() {
            leave_network()?;
        }
        Ok(Self { attendant })
    }

    /// The process that does what this one will not be able to do.
    pub(crate) fn attendant(&self) -> &Attendant {
        &self.attendant
    }

    /// Closes the process in, for good. Files can still be removed from `records`, which is where the mount's own
    /// record is, if it has one.
    pub(crate) fn close(self, records: Option<&Path>) -> Result<Attendant> {
        set_dumpable_behavior(DumpableBehavior::NotDumpable).context("cannot forbid memory dumps")?;
        let rules = landlock::Rules::new(records).context("cannot make Landlock rules")?;
        threads::restrict_all(rules.as_ref()).context("cannot restrict every thread")?;
        if rules.is_none() {
            tracing::warn!("this kernel has no Landlock: the agent could still open files of its user");
        }
        seccomp::apply().context("cannot filter system calls")?;
        Ok(self.attendant)
    }
}

/// A network namespace with nothing in it. Sockets that have a path are reached from any.
fn leave_network() -> Result<()> {
    // SAFETY: unshare takes no memory; only the network namespace of this, the only thread changes.
    let left = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    if left != 0 {
        let error = std::io::Error::last_os_error();
        // A container without the right to do it has seccomp and Landlock still.
        tracing::warn!(%error, "the agent stays in the network namespace of its host");
    }
    Ok(())
}
