//! The system calls that reach through a container into the kernel that it shares with the host: refused.
//!
//! Invariant: the filter is loaded while the process may still do so without `no_new_privs`, so that programs of
//! the image that change their user by their mode still do. The kernel's seccomp(2) specifies the program.
//!
//! Programs of another architecture than the machine's own are ended: their numbers mean other calls.

use std::io;

use rustix::io::Errno;
use seccompiler::{BpfProgram, SeccompCmpOp};

use super::spec::Privilege;
use crate::refusals::{Rules, TYPING, argument, refusing, user_namespace, without_clone3};

/// The kernel itself, its clock, its keys, and files that no path leads to. None is one that a program needs.
const REFUSED: [libc::c_long; 20] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_userfaultfd,
];

/// Access to the ports of the machine, which only this architecture has calls for.
#[cfg(target_arch = "x86_64")]
const PORTS: [libc::c_long; 2] = [libc::SYS_ioperm, libc::SYS_iopl];
#[cfg(not(target_arch = "x86_64"))]
const PORTS: [libc::c_long; 0] = [];

/// Gives this process a new keyring, and refuses those calls to it and to everything that it starts.
pub(crate) fn apply(privilege: Privilege) -> io::Result<()> {
    join_new_keyring()?;
    load(&refusing(rules(privilege)?, libc::EPERM)?)?;
    if privilege == Privilege::Root {
        load(&without_clone3()?)?;
    }
    Ok(())
}

fn rules(privilege: Privilege) -> io::Result<Rules> {
    let mut rules: Rules = REFUSED.into_iter().chain(PORTS).map(|call| (call, Vec::new())).collect();
    // The container shares the terminal with the caller's shell.
    let typing = TYPING.into_iter().map(|request| argument(1, SeccompCmpOp::Eq, request));
    rules.insert(libc::SYS_ioctl, typing.collect::<io::Result<_>>()?);
    if privilege == Privilege::Root {
        // In a user namespace below the machine's own, its root would have every capability of the kernel's doors.
        for call in [libc::SYS_clone, libc::SYS_unshare] {
            rules.insert(call, vec![user_namespace()?]);
        }
    }
    Ok(rules)
}

/// Loads a program for this thread, the only one; seccompiler's own way would set `no_new_privs`.
fn load(program: &BpfProgram) -> io::Result<()> {
    let description = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: the kernel reads as many instructions as the slice has, laid out as its own (`repr(C)`), and writes
    // none.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const description) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Leaves the session's keyring of the caller for a new one.
fn join_new_keyring() -> io::Result<()> {
    /// keyctl(2); its value is part of the kernel's interface.
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: the name is allowed to be null, for a keyring without one.
    let result = unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>())
    };
    if result >= 0 {
        return Ok(());
    }
    match Errno::from_io_error(&io::Error::last_os_error()) {
        // A kernel without keys, or a container around this one that keeps them away.
        Some(Errno::NOSYS | Errno::PERM) => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
