//! The container's own processes, three of them: the **outer** one makes the namespaces, the **init** (process
//! 1 inside) sets the root file system up, reaps and passes signals on, the **command** is the image's.
//!
//! Invariant: each dies with the one before it. `frazil run` → outer and outer → init by the parent death
//! signal; everything else dies with init, because the kernel ends a PID namespace with its first process.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use frazil_mount::descriptors;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FsWord, Mode, fchown, fstatfs};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Gid, Pid, Signal, Uid, WaitOptions, WaitStatus, getppid, set_parent_process_death_signal, umask, wait,
};
use rustix::system::sethostname;
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::signals::{self, Arrival, Signals};
use super::spec::{self, SetupError, Spec, Step};
use super::user::User;
use super::{capabilities, console, filter, namespaces, rootfs};
use crate::exit::Exit;
use crate::fork::fork;

/// The path that is searched when the image's environment has none, as in Docker.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The kernel's file system of pipes without a name (its magic.h).
const PIPEFS_MAGIC: FsWord = 0x5049_5045;

/// The outer process: reads what to set up from the socket and ends as the command does. The command's own terminal,
/// if it gets one, is handed over the other socket.
///
/// Nothing but the calling thread may run in this process: it forks.
pub(crate) fn outer(socket: OwnedFd, terminal: OwnedFd) -> Exit {
    // A directory of the host's that the caller left open would be a way out of the container.
    let closed = descriptors::close_all_but(&[socket.as_fd(), terminal.as_fd()])
        .step("close what the caller left open");
    let (socket, terminal) = (UnixStream::from(socket), UnixStream::from(terminal));
    if let Err(error) = closed {
        return answer(&socket, &error);
    }
    let (signals, spec, tie) = match separate(&socket) {
        Ok(ready) => ready,
        Err(error) => return answer(&socket, &error),
    };
    match fork().step("start the container's first process") {
        Ok(Some(init)) => {
            drop((socket, terminal, tie.child));
            // The parent's end stays open until this process ends, however it does.
            watch(&signals, init)
        }
        Ok(None) => {
            drop(tie.parent);
            init(socket, terminal, &tie.child, &signals, &spec)
        }
        Err(error) => answer(&socket, &error),
    }
}

fn answer(socket: &UnixStream, error: &SetupError) -> Exit {
    // The parent may be gone; then nobody needs to know.
    let _ = spec::send(socket, error);
    error.exit
}

/// A pipe that tells a child whether its parent still lived when it asked to die with it.
struct Tie {
    child: OwnedFd,
    parent: OwnedFd,
}

/// Ties this process to its parent, reads what to set up, and makes the namespaces.
fn separate(socket: &UnixStream) -> Result<(Signals, Spec, Tie), SetupError> {
    let signals = Signals::block().step("block signals")?;
    set_parent_process_death_signal(Some(Signal::KILL)).step("tie the container to its parent")?;
    let spec: Option<Spec> = spec::receive(socket).step("read the container's description")?;
    let spec = spec.ok_or("nothing came").step("read the container's description")?;
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get());
    if parent != Some(spec.parent) {
        return Err("it is gone").step("tie the container to its parent");
    }
    namespaces::separate(spec.network)?;
    let (child, parent) = pipe_with(PipeFlags::CLOEXEC).step("make a pipe")?;
    Ok((signals, spec, Tie { child, parent }))
}

/// Process 1 of the container.
fn init(socket: UnixStream, terminal: UnixStream, tie: &OwnedFd, signals: &Signals, spec: &Spec) -> Exit {
    let launched = prepare(tie, spec).and_then(|user| {
        // Before the command exists: it must find no process that could give it more than it may have.
        capabilities::bound(spec.network).step("bound the capabilities")?;
        capabilities::hide().step("hide the container's first process")?;
        Ok((fork().step("start the image's command")?, user))
    });
    match launched {
        Ok((Some(command), _)) => {
            // The end of this process is the command's, too.
            if let Err(error) = capabilities::keep_init().step("give capabilities up") {
                return answer(&socket, &error);
            }
            drop((socket, terminal));
            watch(signals, command)
        }
        Ok((None, user)) => {
            let Err(error) = execute(spec, &user, &terminal);
            answer(&socket, &error)
        }
        Err(error) => answer(&socket, &error),
    }
}

/// Everything that the command finds when it starts.
fn prepare(tie: &OwnedFd, spec: &Spec) -> Result<User, SetupError> {
    set_parent_process_death_signal(Some(Signal::KILL)).step("tie the container to its parent")?;
    let mut ends = [PollFd::new(tie, PollFlags::empty())];
    poll(&mut ends, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).step("tie the container to its parent")?;
    if ends.iter().any(|end| end.revents().contains(PollFlags::HUP)) {
        return Err("it is gone").step("tie the container to its parent");
    }
    umask(Mode::from_raw_mode(0o022));
    sethostname(spec.hostname.as_bytes()).step("set the host name")?;
    rootfs::enter(spec)?;
    fs::create_dir_all(&spec.process.directory)
        .step(format!("make the working directory {}", spec.process.directory.display()))?;
    spec.process.user.resolve().step("find the user")
}

/// Becomes the image's command; returns only if it cannot.
fn execute(spec: &Spec, user: &User, terminal: &UnixStream) -> Result<Infallible, SetupError> {
    let process = &spec.process;
    if let Some(size) = spec.terminal {
        console::take(size, terminal, user)?;
    }
    filter::apply(spec.privilege).step("filter system calls")?;
    become_user(user)?;
    let directory = &process.directory;
    enter(directory).step(format!("enter the working directory {}", directory.display()))?;
    let (program, arguments) =
        process.arguments.split_first().ok_or("it is empty").step("start the command")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", DEFAULT_PATH).env("HOME", &user.home);
    for variable in &process.environment {
        let bytes = variable.as_bytes();
        // A name is never empty, so a leading `=` belongs to it, as in std's own reading of an environment.
        if let Some(end) =
            bytes.iter().skip(1).position(|&byte| byte == b'=').map(|end| end.saturating_add(1))
        {
            let (name, value) = bytes.split_at(end);
            command.env(OsStr::from_bytes(name), OsStr::from_bytes(value.get(1..).unwrap_or_default()));
        }
    }
    signals::unblock().step("unblock signals")?;
    descriptors::close_on_execution().step("keep descriptors from the command")?;
    // Resets SIGPIPE, which Rust programs ignore.
    let error = command.exec();
    let exit = if error.kind() == ErrorKind::NotFound { Exit::NOT_FOUND } else { Exit::NOT_EXECUTABLE };
    let reason = match exit {
        Exit::NOT_FOUND if is_file(program) => {
            "the image has it, but not the interpreter or the loader that starts it".to_owned()
        }
        Exit::NOT_FOUND => "not found in the image".to_owned(),
        _ => error.to_string(),
    };
    Err(SetupError { step: format!("execute {}", program.display()), reason, exit })
}

/// Whether a program that is named by its path is there. The kernel reports a missing interpreter as it
/// reports a missing program.
fn is_file(program: &OsStr) -> bool {
    program.as_bytes().contains(&b'/') && Path::new(program).is_file()
}

/// Enters a directory, which must lie in the container's root: a link to a descriptor could lead elsewhere.
fn enter(directory: &Path) -> io::Result<()> {
    std::env::set_current_dir(directory)?;
    let entered = std::env::current_dir();
    if entered.is_ok_and(|path| path.is_absolute()) {
        Ok(())
    } else {
        Err(io::Error::other("it lies outside of the root"))
    }
}

/// Gives up what the command may not have.
fn become_user(user: &User) -> Result<(), SetupError> {
    own_pipes(user);
    let groups: Vec<Gid> = user.groups.iter().map(|&group| Gid::from_raw(group)).collect();
    // A user namespace with one group may not set any; the group that it has is the caller's own.
    let denied = fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny");
    if !denied {
        set_thread_groups(&groups).step("set the groups")?;
    }
    let gid = Gid::from_raw(user.gid);
    set_thread_res_gid(gid, gid, gid).map_err(unmapped).step(format!("become group {}", user.gid))?;
    let uid = Uid::from_raw(user.uid);
    set_thread_res_uid(uid, uid, uid).map_err(unmapped).step(format!("become user {}", user.uid))
}

/// The kernel reports "invalid argument" for an id that a user namespace does not map.
fn unmapped(error: Errno) -> String {
    match error {
        Errno::INVAL => {
            "your user has no subordinate ids for it (subuid(5), subgid(5), newuidmap); --user 0 needs none"
                .to_owned()
        }
        error => error.to_string(),
    }
}

/// Lets the user open /dev/stdout and the like anew where they are pipes: those belong to the user who made
/// them.
fn own_pipes(user: &User) {
    let owner = Some(Uid::from_raw(user.uid));
    for stream in [io::stdin().as_fd(), io::stdout().as_fd(), io::stderr().as_fd()] {
        if fstatfs(stream).is_ok_and(|system| system.f_type == PIPEFS_MAGIC) {
            // Best effort: what is open already works without.
            let _ = fchown(stream, owner, None);
        }
    }
}

/// Waits for `child`, reaping whatever else ends and passing signals on.
fn watch(signals: &Signals, child: Pid) -> Exit {
    loop {
        match signals.next() {
            Ok(Arrival::Child) => {
                if let Some(exit) = reap(child) {
                    return exit;
                }
            }
            Ok(Arrival::FromProcess(signal)) => signals::send(child.as_raw_nonzero().get(), signal),
            Ok(Arrival::FromTerminal(_)) => {}
            Err(_) => return Exit::NOT_STARTED,
        }
    }
}

/// Reaps all that ended; how `child` ended if it did.
fn reap(child: Pid) -> Option<Exit> {
    let mut exit = None;
    // Ends when no child is left, or none that ended.
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == child {
            exit = Some(exit_of(status));
        }
    }
    exit
}

fn exit_of(status: WaitStatus) -> Exit {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::of_command(code),
        (None, Some(signal)) => Exit::of_signal(signal),
        (None, None) => Exit::NOT_STARTED,
    }
}
