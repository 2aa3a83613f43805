//! The system calls that an agent has no use for any more, refused in every thread.

use std::io;

use seccompiler::{BpfProgram, SeccompCmpOp, apply_filter_all_threads};

use crate::refusals::{Rules, TYPING, argument, pointer, refusing, user_namespace, without_clone3};

/// Programs, other processes, sockets, mounts, namespaces, the kernel itself, and rings, which make sockets without a
/// system call of that name. What an agent does need (files and sockets that are open, memory, threads) is not here.
const REFUSED: [libc::c_long; 43] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_connect,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_kexec_load,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_io_uring_setup,
    libc::SYS_personality,
];

/// Calls whose first argument names a process, which may be this one.
const OF_ITSELF_ALONE: [(libc::c_long, fn() -> u32); 2] =
    [(libc::SYS_tgkill, std::process::id), (libc::SYS_prlimit64, || 0)];

/// What can be set on a descriptor: whom to signal and with what, and what to type into a terminal.
const TOLD: [(libc::c_long, &[libc::c_ulong]); 2] = [
    (libc::SYS_fcntl, &[F_SETOWN, F_SETSIG, F_SETOWN_EX]),
    (libc::SYS_ioctl, &[FIOSETOWN, SIOCSPGRP, TYPING[0], TYPING[1]]),
];

// fcntl(2) and asm-generic/sockios.h; the C library's crate has not all of them.
const F_SETOWN: libc::c_ulong = 8;
const F_SETSIG: libc::c_ulong = 10;
const F_SETOWN_EX: libc::c_ulong = 15;
const FIOSETOWN: libc::c_ulong = 0x8901;
const SIOCSPGRP: libc::c_ulong = 0x8902;

/// Refuses them from now on.
pub(super) fn apply() -> io::Result<()> {
    apply_to_all_threads(&refusing(rules()?, libc::EPERM)?)?;
    apply_to_all_threads(&without_clone3()?)
}

fn rules() -> io::Result<Rules> {
    let mut rules: Rules = REFUSED.into_iter().map(|call| (call, Vec::new())).collect();
    for (call, itself) in OF_ITSELF_ALONE {
        rules.insert(call, vec![argument(0, SeccompCmpOp::Ne, itself().into())?]);
    }
    for (call, requests) in TOLD {
        let requests = requests.iter().map(|request| argument(1, SeccompCmpOp::Eq, *request));
        rules.insert(call, requests.collect::<io::Result<_>>()?);
    }
    // Data is sent to the connected peer only: a datagram with an address would go anywhere.
    rules.insert(libc::SYS_sendto, vec![pointer(4)?]);
    rules.insert(libc::SYS_clone, vec![user_namespace()?]);
    Ok(rules)
}

fn apply_to_all_threads(program: &BpfProgram) -> io::Result<()> {
    apply_filter_all_threads(program).map_err(io::Error::other)
}
