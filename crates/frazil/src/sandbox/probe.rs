//! What a process can still do, tried and reported: how tests and wary operators see that the sandbox is closed.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use frazil_cache::host::Dial;
use rustix::thread::capabilities;
use serde::Serialize;

/// How long a connection is tried.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is tried.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Probe {
    /// A TCP address to connect to
    #[arg(long)]
    tcp: SocketAddr,

    /// Files and directories to open
    #[arg(long)]
    open: Vec<PathBuf>,

    /// The host cache's socket
    #[arg(long)]
    pub(crate) socket: PathBuf,
}

/// What became of each attempt: none if it worked.
#[derive(Serialize, Debug)]
pub(crate) struct Findings {
    tcp: Option<String>,
    udp: Option<String>,
    netlink: Option<String>,
    /// Connecting to a socket with a path: without help, then (`dialled`) by the process that stays outside.
    socket: Option<String>,
    dialled: Option<String>,
    signal: Option<String>,
    /// A signal that the kernel would send to another process, when something comes.
    owner: Option<String>,
    user_namespace: Option<String>,
    capabilities: Option<String>,
    open: Vec<Option<String>>,
    list: Vec<Option<String>>,
    run: Option<String>,
    thread_open: Option<String>,
    /// In threads that were asleep while the process closed itself in.
    pub(crate) asleep_open: Vec<Option<String>>,
}

impl Probe {
    /// Tries everything.
    pub(crate) fn try_all(&self, dial: Option<Dial>) -> Findings {
        let own = self.clone();
        let in_thread = std::thread::spawn(move || own.open_first());
        Findings {
            tcp: refusal(TcpStream::connect_timeout(&self.tcp, PATIENCE)),
            udp: refusal(std::net::UdpSocket::bind("127.0.0.1:0")),
            netlink: refusal(socket(libc::AF_NETLINK)),
            socket: refusal(UnixStream::connect(&self.socket)),
            dialled: refusal(dial.map_or(Ok(()), |dial| dial().map(drop))),
            signal: refusal(queue_no_signal_to_parent()),
            owner: refusal(let_parent_own_output()),
            user_namespace: refusal(child_in_a_user_namespace()),
            capabilities: refusal(some_capability()),
            open: self.open.iter().map(|path| refusal(File::open(path))).collect(),
            list: self.open.iter().map(|path| refusal(std::fs::read_dir(path))).collect(),
            run: refusal(Command::new("/proc/self/exe").arg("--version").output()),
            thread_open: in_thread.join().unwrap_or_default(),
            asleep_open: Vec::new(),
        }
    }

    /// Tries to open the first of the files.
    pub(crate) fn open_first(&self) -> Option<String> {
        self.open.first().and_then(|path| refusal(File::open(path)))
    }
}

fn refusal<T>(outcome: io::Result<T>) -> Option<String> {
    outcome.err().map(|error| error.to_string())
}

fn socket(family: i32) -> io::Result<()> {
    // SAFETY: socket takes no memory.
    let fd = unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was made just now and is nobody else's.
    drop(unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) });
    Ok(())
}

/// Signal 0 reaches nobody, and is refused where a signal would be.
fn queue_no_signal_to_parent() -> io::Result<()> {
    // SAFETY: the information about a signal is plain numbers, which the kernel reads.
    let sent = unsafe {
        let mut information: libc::siginfo_t = std::mem::zeroed();
        information.si_code = libc::SI_QUEUE;
        libc::syscall(libc::SYS_rt_sigqueueinfo, libc::getppid(), 0, &raw const information)
    };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn let_parent_own_output() -> io::Result<()> {
    // SAFETY: it takes numbers.
    let set = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_SETOWN, libc::getppid()) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A child that ends at once, in a user namespace of its own.
fn child_in_a_user_namespace() -> io::Result<()> {
    let flags = libc::c_long::from(libc::CLONE_NEWUSER | libc::SIGCHLD);
    // SAFETY: without memory in common this is fork(2), and the child does nothing but end.
    match unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        0 => crate::fork::leave(),
        child => {
            // SAFETY: it takes a number, and is told of nothing.
            unsafe { libc::waitpid(child as libc::pid_t, std::ptr::null_mut(), 0) };
            Ok(())
        }
    }
}

fn some_capability() -> io::Result<()> {
    let held = capabilities(None)?;
    let is_any = !(held.effective | held.permitted | held.inheritable).is_empty();
    if is_any { Ok(()) } else { Err(io::Error::other("no capability is left")) }
}
