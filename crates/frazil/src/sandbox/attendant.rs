//! The process that stays outside for an agent that has closed itself in, and does two things for it: it connects to
//! the host cache, when the connection breaks, and unmounts.
//!
//! It is forked before the agent holds any key, and is told then which socket and which directory: an
//! attacker who takes the agent over can ask for these two things and no others. It ends with the agent.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use frazil_cache::host::Dial;
use frazil_mount::{MountError, passing};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Pid, Signal, WaitOptions, set_parent_process_death_signal, waitpid};

use crate::fork::{fork, leave};

/// The longest error that is told, in bytes.
const MAX_ERROR_LEN: usize = 1 << 12;

/// What an agent asks for, each one byte.
const CONNECT: u8 = b'c';
const UNMOUNT: u8 = b'u';

/// What comes in place of a descriptor: an error's number follows.
const REFUSED: u8 = b'n';

/// What an attendant does when it is asked to.
#[derive(Clone, Debug)]
pub(crate) struct Duties {
    /// The host cache's socket.
    pub(crate) socket: PathBuf,
    /// Where the agent's image is mounted, unless another process takes the mount away.
    pub(crate) directory: Option<PathBuf>,
}

/// The process, as its agent sees it. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Attendant {
    line: Line,
    process: Pid,
}

#[derive(Clone, Debug)]
struct Line(Arc<Mutex<UnixStream>>);

impl Attendant {
    /// Starts it. The process must have one thread.
    pub(super) fn start(duties: &Duties) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        if let Some(process) = fork()? {
            return Ok(Self { line: Line(Arc::new(Mutex::new(ours))), process });
        }
        drop(ours);
        // An agent that is gone wants nothing any more.
        let _ = serve(theirs, duties);
        leave()
    }

    /// A way to the host cache that needs nothing but this.
    pub(crate) fn dial(&self) -> Dial {
        let line = self.line.clone();
        Arc::new(move || line.connect())
    }

    /// Unmounts the directory, even if it is in use. Returns when it is done.
    pub(crate) async fn unmount(&self) -> io::Result<()> {
        let line = self.line.clone();
        tokio::task::spawn_blocking(move || line.unmount()).await.map_err(io::Error::other)?
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        let _ = self.line.hold().shutdown(Shutdown::Both);
        // It would otherwise be left to a process that adopts orphans, and not every such process reaps them.
        let _ = waitpid(Some(self.process), WaitOptions::empty());
    }
}

impl Line {
    fn hold(&self) -> MutexGuard<'_, UnixStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unmount(&self) -> io::Result<()> {
        let mut line = self.hold();
        line.write_all(&[UNMOUNT])?;
        let mut len = [0; size_of::<u32>()];
        line.read_exact(&mut len)?;
        let mut error = vec![0; (u32::from_ne_bytes(len) as usize).min(MAX_ERROR_LEN)];
        line.read_exact(&mut error)?;
        match error.is_empty() {
            true => Ok(()),
            false => Err(io::Error::other(String::from_utf8_lossy(&error).into_owned())),
        }
    }

    fn connect(&self) -> io::Result<OwnedFd> {
        let mut line = self.hold();
        line.write_all(&[CONNECT])?;
        match passing::receive(&line) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let mut number = [0; size_of::<i32>()];
                line.read_exact(&mut number)?;
                Err(io::Error::from_raw_os_error(i32::from_ne_bytes(number)))
            }
            passed => passed,
        }
    }
}

/// Does what it is asked to, until the agent ends.
fn serve(mut line: UnixStream, duties: &Duties) -> io::Result<()> {
    // A terminal's signals are the agent's to handle. If it dies, so does this.
    let _ = rustix::process::setsid();
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let _ = rustix::thread::set_name(c"frazil-outside");
    loop {
        let mut asked = [0];
        line.read_exact(&mut asked)?;
        match asked {
            [CONNECT] => match connected(&duties.socket) {
                Ok(connection) => passing::send(&line, connection.as_fd())?,
                Err(error) => {
                    line.write_all(&[REFUSED])?;
                    line.write_all(&error.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes())?;
                }
            },
            [UNMOUNT] => {
                let unmounted = match &duties.directory {
                    Some(directory) => unmount(directory),
                    None => Err("another process takes the mount away".to_owned()),
                };
                let error = unmounted.err().unwrap_or_default();
                let error = error.as_bytes().get(..MAX_ERROR_LEN).unwrap_or(error.as_bytes());
                line.write_all(&(error.len() as u32).to_ne_bytes())?;
                line.write_all(error)?;
            }
            [other] => return Err(io::Error::other(format!("there is no duty {other}"))),
        }
    }
}

/// A connection, without waiting: the agent that asks is the one that tries again.
fn connected(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// The mount goes at once, whoever still has a file open: whoever asks wants the agent gone.
fn unmount(directory: &Path) -> Result<(), String> {
    match frazil_mount::unmount_or_detach(directory) {
        Ok(()) | Err(MountError::NotMounted { .. }) => Ok(()),
        Err(error) => Err(crate::failure::chain(&error.into())),
    }
}
