//! The process that unmounts for an agent that has closed itself in: Landlock forbids to change mounts, and without
//! new privileges there is no fusermount3.
//!
//! It is forked before the agent holds any key, does nothing but wait for one word, and ends with the agent.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use frazil_mount::MountError;
use rustix::mount::UnmountFlags;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::fork::{fork, leave};

/// The longest path that is taken, in bytes.
const MAX_PATH_LEN: u64 = 1 << 16;

/// The process, as its agent sees it.
#[derive(Debug)]
pub(crate) struct Unmounter(UnixStream);

impl Unmounter {
    /// Starts it. The process must have one thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        if fork()?.is_some() {
            return Ok(Self(ours));
        }
        drop(ours);
        serve(theirs);
        leave()
    }

    /// Unmounts the directory, even if it is in use. Returns when it is done.
    pub(crate) fn unmount(&self, directory: &Path) -> io::Result<()> {
        (&self.0).write_all(directory.as_os_str().as_bytes())?;
        self.0.shutdown(Shutdown::Write)?;
        let mut error = String::new();
        (&self.0).take(MAX_PATH_LEN).read_to_string(&mut error)?;
        if error.is_empty() { Ok(()) } else { Err(io::Error::other(error)) }
    }
}

/// Waits for a directory; an agent that ends without one wants nothing.
fn serve(mut agent: UnixStream) {
    // A terminal's signals are the agent's to handle. If it dies, so does this.
    let _ = rustix::process::setsid();
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let mut directory = Vec::new();
    let heard = (&agent).take(MAX_PATH_LEN).read_to_end(&mut directory);
    if heard.is_err() || directory.is_empty() {
        return;
    }
    let directory = PathBuf::from(std::ffi::OsString::from_vec(directory));
    if let Err(error) = unmount(&directory) {
        let _ = agent.write_all(error.as_bytes());
    }
}

fn unmount(directory: &Path) -> Result<(), String> {
    match frazil_mount::unmount(directory) {
        Ok(()) | Err(MountError::NotMounted { .. }) => Ok(()),
        // Who asks wants the agent gone: the mount goes at once, whoever still has a file open.
        Err(MountError::Busy { .. }) => detach(directory).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn detach(directory: &Path) -> io::Result<()> {
    match rustix::mount::unmount(directory, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Err(rustix::io::Errno::PERM) => {
            let ended = Command::new("fusermount3").arg("-uz").arg("--").arg(directory).status()?;
            if ended.success() { Ok(()) } else { Err(io::Error::other("fusermount3 cannot unmount it")) }
        }
        outcome => Ok(outcome?),
    }
}
