//! A process that does a part of `frazil run` and holds what the other parts do not need: keys, the store, a
//! network.
//!
//! Invariants: it dies with the process that started it; and the two say one message each way on each of two sockets,
//! so neither waits for a word that the other never says.

use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, anyhow};
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, kill_process, set_parent_process_death_signal, waitpid,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::spec;
use crate::failure::{Refusal, chain};
use crate::fork::{fork, leave};

/// The sockets between the two.
#[derive(Debug)]
pub(crate) struct Line {
    /// For the beginning: what to do, and that it is done.
    first: UnixStream,
    /// For the end: that it has come, and what there is to say of it.
    last: UnixStream,
}

impl Line {
    /// Says what to do, or that it is done.
    pub(crate) fn begin(&self, message: &impl Serialize) -> Result<()> {
        spec::send(&self.first, message).context("the other process is gone")
    }

    /// Hears what to do, or that it is done; none if the other is gone.
    pub(crate) fn hear_begin<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        spec::receive(&self.first).context("cannot hear from the other process")
    }

    /// Says that it has ended, or what there is to say of it.
    pub(crate) fn end(&self, message: &impl Serialize) -> Result<()> {
        spec::send(&self.last, message).context("the other process is gone")
    }

    /// Hears that it has ended, or what there is to say of it; none if the other is gone.
    pub(crate) fn hear_end<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        spec::receive(&self.last).context("cannot hear from the other process")
    }
}

/// The process, as the one that started it sees it.
#[derive(Debug)]
pub(crate) struct SideProcess {
    pid: Pid,
    /// The way to it.
    pub(crate) line: Line,
}

impl SideProcess {
    /// Starts it. This process must have one thread; the other one ends when `work` does.
    pub(crate) fn start(work: impl FnOnce(&Line) -> Result<()>) -> Result<Self> {
        let pair = || UnixStream::pair().context("cannot make a socket");
        let ((first, their_first), (last, their_last)) = (pair()?, pair()?);
        let parent = getpid();
        match fork().context("cannot start a process")? {
            Some(pid) => Ok(Self { pid, line: Line { first, last } }),
            None => {
                drop((first, last));
                let tied = set_parent_process_death_signal(Some(Signal::KILL)).is_ok();
                let line = Line { first: their_first, last: their_last };
                if tied
                    && getppid() == Some(parent)
                    && let Err(error) = work(&line)
                {
                    // If the work was done before, nobody is listening; then the error goes to the log.
                    if line.begin(&Err::<(), _>(Refusal::of(&error))).is_err() {
                        tracing::error!("the process that serves the image ends: {}", chain(&error));
                    }
                }
                drop(line);
                leave()
            }
        }
    }

    /// What it has done; its error if it could not.
    pub(crate) fn outcome<T: DeserializeOwned>(&self) -> Result<T> {
        match self.line.hear_begin::<Result<T, Refusal>>()? {
            Some(Ok(done)) => Ok(done),
            Some(Err(refusal)) => Err(refusal.into_error()),
            None => Err(anyhow!("the process that reads the image ended without a word")),
        }
    }

    /// Waits for its end.
    pub(crate) fn wait(self) {
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }

    /// Ends it.
    pub(crate) fn kill(self) {
        let _ = kill_process(self.pid, Signal::KILL);
        self.wait();
    }
}
