//! The system calls that an agent has no use for any more, refused in every thread.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    apply_filter_all_threads,
};

/// Programs, other processes, sockets, mounts, namespaces, the kernel itself, and rings, which make sockets without a
/// system call of that name. What an agent does need (files and sockets that are open, memory, threads) is not here.
const REFUSED: [libc::c_long; 40] = [
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
    libc::SYS_keyctl,
    libc::SYS_io_uring_setup,
    libc::SYS_personality,
];

/// Those that name a process first, which may be this one.
const OF_ITSELF_ALONE: [(libc::c_long, fn() -> u32); 2] =
    [(libc::SYS_tgkill, std::process::id), (libc::SYS_prlimit64, || 0)];

/// Refuses them from now on.
pub(super) fn apply() -> io::Result<()> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.into_iter().map(|call| (call, Vec::new())).collect();
    for (call, itself) in OF_ITSELF_ALONE {
        let (whom, another) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Ne);
        let another = SeccompCondition::new(0, whom, another, itself().into()).map_err(io::Error::other)?;
        rules.insert(call, vec![SeccompRule::new(vec![another]).map_err(io::Error::other)?]);
    }
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).map_err(io::Error::other)?;
    let program = filter.try_into().map_err(|error: seccompiler::BackendError| io::Error::other(error))?;
    let program: seccompiler::BpfProgram = program;
    apply_filter_all_threads(&program).map_err(io::Error::other)
}
