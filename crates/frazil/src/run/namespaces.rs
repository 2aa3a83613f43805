//! The namespaces: those of `frazil run` itself, in which the image is mounted, and the container's.
//!
//! Invariants: a mount made for a container exists in no namespace that outlives `frazil run`, so the kernel
//! takes the mounts away whatever ends it; nor does it exist in a namespace of the process that serves it.
//! That process would wait for itself: when it is killed, the kernel takes the namespace down before it
//! closes the device by which the mount's reads are answered.

use std::fs;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::{getgid, getpid, getuid};
use rustix::thread::{CapabilitySet, UnshareFlags, capabilities, unshare_unsafe};

use super::spec::{Network, Privilege, SetupError, Step};
use super::subordinate::Range;
use crate::failure::Advise;

/// Moves this process into a mount namespace of its own; for an ordinary user, as root of a user namespace.
///
/// Nothing but the calling thread may run yet: the kernel lets no thread enter a user namespace alone.
pub(crate) fn enter_private() -> Result<Privilege> {
    let effective = capabilities(None).context("cannot read the capabilities")?.effective;
    let privilege =
        if effective.contains(CapabilitySet::SYS_ADMIN) { Privilege::Root } else { Privilege::User };
    match privilege {
        Privilege::Root => part()?,
        Privilege::User => enter_user_namespace()?,
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).context("cannot make the mounts private")?;
    Ok(privilege)
}

/// Leaves the others' mount namespace for one of its own. One thread may run.
pub(crate) fn part() -> Result<()> {
    unshare(UnshareFlags::NEWNS).context("cannot make a mount namespace")
}

/// The caller becomes root of a new user namespace, with the subordinate ids that it owns, if it owns any.
fn enter_user_namespace() -> Result<()> {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let (users, groups) = (Range::of("/etc/subuid", uid), Range::of("/etc/subgid", uid));
    // The set-user-id programs that map them must be started outside of the namespace, before it is entered.
    let mappers = match (users, groups) {
        (Some(users), Some(groups)) => {
            Some([start_mapper("newuidmap", uid, users), start_mapper("newgidmap", gid, groups)])
        }
        _ => None,
    };
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)
        .context("cannot make a user namespace")
        .hint("this machine may forbid user namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces): ask its administrator, or run as root")?;
    let mapped = mappers.is_some_and(|mappers| mappers.map(finish_mapper).iter().all(Result::is_ok));
    if !mapped {
        tracing::info!("no subordinate ids: the container has one user and one group");
        fs::write("/proc/self/setgroups", "deny").context("cannot give up setting groups")?;
        map("/proc/self/uid_map", uid)?;
        map("/proc/self/gid_map", gid)?;
    }
    Ok(())
}

fn map(file: &str, id: u32) -> Result<()> {
    match fs::write(file, format!("0 {id} 1\n")) {
        // newuidmap was there and newgidmap was not.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) && is_mapped(file) => Ok(()),
        result => result.with_context(|| format!("cannot map the ids in {file}")),
    }
}

fn is_mapped(file: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| !text.trim().is_empty())
}

/// Starts the program that maps ids of this process as soon as it is told to.
fn start_mapper(program: &str, id: u32, range: Range) -> io::Result<Child> {
    let pid = getpid().as_raw_nonzero().to_string();
    let map = ["0", &id.to_string(), "1", "1", &range.first.to_string(), &range.count.to_string()]
        .map(str::to_owned);
    Command::new("/bin/sh")
        .args(["-c", "read -r _ && exec \"$@\"", "sh", program, &pid])
        .args(map)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn finish_mapper(mapper: io::Result<Child>) -> Result<()> {
    let mut mapper = mapper.context("cannot start a mapper")?;
    if let Some(mut stdin) = mapper.stdin.take() {
        stdin.write_all(b"go\n").context("cannot tell a mapper to start")?;
    }
    anyhow::ensure!(mapper.wait().context("cannot wait for a mapper")?.success(), "a mapper failed");
    Ok(())
}

/// Makes the container's namespaces; the next child is the first process of the PID namespace.
pub(crate) fn separate(network: Network) -> Result<(), SetupError> {
    let own = UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    unshare(own | UnshareFlags::NEWCGROUP).step("make the container's namespaces")?;
    if network == Network::None {
        unshare(UnshareFlags::NEWNET).step("make a network namespace")?;
        raise_loopback().step("set up the loopback device")?;
    }
    Ok(())
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: the descriptor table is not unshared (no CLONE_FILES), which is what the function warns of.
    Ok(unsafe { unshare_unsafe(flags) }?)
}

/// Switches the loopback device of this network namespace on.
fn raise_loopback() -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: the structure is plain data, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
    // SAFETY: the socket is open and the request has a NUL-terminated name and outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw mut request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
