//! What is said between `frazil run` and the process that sets the container up: one JSON document down a
//! socket, and at most one back. A terminal goes over another one.
//!
//! Invariant: the socket closes without an answer exactly when the image's command was executed; whatever goes
//! wrong before that is an answer that names the step.

use std::ffi::OsString;
use std::fmt;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::console::WindowSize;
use super::user::UserSpec;
use super::volume::Volume;
use crate::config::Value;
use crate::exit::Exit;

/// The longest message taken from the socket, in bytes: an environment of execve's own limit fits.
const MESSAGE_LIMIT: u64 = 16 << 20;

/// A container to set up.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Spec {
    /// The process that this container must not outlive.
    pub(crate) parent: i32,
    /// The private directory that holds [`IMAGE`], [`UPPER`], [`WORK`] and [`ROOT`].
    pub(crate) stage: PathBuf,
    /// Whose capabilities the set-up runs with.
    pub(crate) privilege: Privilege,
    /// The container's network.
    pub(crate) network: Network,
    /// The container's host name.
    pub(crate) hostname: String,
    /// How much the container's shared memory may hold, in bytes.
    pub(crate) shared_memory_bytes: u64,
    /// Directories and files of the host that are visible inside.
    pub(crate) volumes: Vec<Volume>,
    /// The size of its own terminal; none: the command has the caller's input and output.
    pub(crate) terminal: Option<WindowSize>,
    /// What is executed.
    pub(crate) process: Process,
}

/// The mounted image, below [`Spec::stage`].
pub(crate) const IMAGE: &str = "image";
/// What the container writes, below [`Spec::stage`].
pub(crate) const UPPER: &str = "upper";
/// The overlay's own scratch space, below [`Spec::stage`].
pub(crate) const WORK: &str = "work";
/// Where the container's root file system is mounted, below [`Spec::stage`].
pub(crate) const ROOT: &str = "root";

/// Whose capabilities a container is set up with.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Privilege {
    /// The machine's root.
    Root,
    /// An ordinary user, who is root in a user namespace.
    User,
}

/// What network a container sees.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Network {
    /// The host's.
    Host,
    /// Only a loopback device of its own.
    None,
}

impl Value for Network {
    const FORM: &'static str = "host or none";

    fn parse(text: &str) -> Result<Self, String> {
        <Self as clap::ValueEnum>::from_str(text, false).map_err(|_| format!("expected {}", Self::FORM))
    }
}

/// What is executed in a container.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Process {
    /// The program and its arguments; not empty.
    pub(crate) arguments: Vec<OsString>,
    /// `NAME=VALUE`, in the order in which they were said; the last of a name holds.
    pub(crate) environment: Vec<OsString>,
    /// An absolute path; made if it does not exist.
    pub(crate) directory: PathBuf,
    /// The user that executes it.
    pub(crate) user: UserSpec,
}

/// Why the image's command was not executed.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct SetupError {
    /// What was being done, in the infinitive.
    pub(crate) step: String,
    /// Why it could not be done.
    pub(crate) reason: String,
    /// What the process should end with.
    pub(crate) exit: Exit,
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.step, self.reason)
    }
}

impl std::error::Error for SetupError {}

/// Names the step that failed.
pub(crate) trait Step<T> {
    /// `step` says what was being done, in the infinitive.
    fn step(self, step: impl Into<String>) -> Result<T, SetupError>;
}

impl<T, E: fmt::Display> Step<T> for Result<T, E> {
    fn step(self, step: impl Into<String>) -> Result<T, SetupError> {
        self.map_err(|error| SetupError {
            step: step.into(),
            reason: error.to_string(),
            exit: Exit::NOT_STARTED,
        })
    }
}

/// Writes one message and closes this direction of the socket.
pub(crate) fn send(mut socket: &UnixStream, message: &impl Serialize) -> std::io::Result<()> {
    socket.write_all(&serde_json::to_vec(message)?)?;
    socket.shutdown(Shutdown::Write)
}

/// Reads the one message of the other side; none if it closed without a word.
pub(crate) fn receive<T: for<'de> Deserialize<'de>>(socket: &UnixStream) -> std::io::Result<Option<T>> {
    let mut bytes = Vec::new();
    socket.take(MESSAGE_LIMIT).read_to_end(&mut bytes)?;
    if bytes.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(&bytes)?)) }
}
