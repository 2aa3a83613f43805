//! Programs for seccomp(2) that refuse system calls, as a container's and an agent's are made.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, sock_filter,
};

/// Calls that are refused: each by any of its rules, or in any case if it has none.
pub(crate) type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// What a terminal is told to type, as if a person had: requests of ioctl(2).
pub(crate) const TYPING: [libc::c_ulong; 2] = [libc::TIOCSTI, libc::TIOCLINUX];

/// From here on numbers mean calls of the x32 ABI, for which the rules have no names.
const X32: u32 = 0x4000_0000;

/// Matches a call by one argument, of which the kernel reads 32 bits.
pub(crate) fn argument(number: u8, comparison: SeccompCmpOp, value: u64) -> io::Result<SeccompRule> {
    rule(SeccompCondition::new(number, SeccompCmpArgLen::Dword, comparison, value))
}

/// Matches a call whose argument here is a pointer other than null.
pub(crate) fn pointer(number: u8) -> io::Result<SeccompRule> {
    rule(SeccompCondition::new(number, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, 0))
}

fn rule(condition: Result<SeccompCondition, BackendError>) -> io::Result<SeccompRule> {
    condition.and_then(|condition| SeccompRule::new(vec![condition])).map_err(io::Error::other)
}

/// A call whose flags, the first argument, ask for a user namespace: in there a process has every capability.
pub(crate) fn user_namespace() -> io::Result<SeccompRule> {
    let flag = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
    argument(0, SeccompCmpOp::MaskedEq(flag), flag)
}

/// The program that keeps clone3(2) away: its flags are in memory, where no filter can look. A C library then takes
/// clone(2), which has them in an argument.
pub(crate) fn without_clone3() -> io::Result<BpfProgram> {
    refusing(Rules::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)
}

/// The program that answers those calls with this error, and lets all others pass.
pub(crate) fn refusing(rules: Rules, error: i32) -> io::Result<BpfProgram> {
    let action = SeccompAction::Errno(error.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, arch).map_err(io::Error::other)?;
    let program: BpfProgram = filter.try_into().map_err(|error: BackendError| io::Error::other(error))?;
    Ok(without_x32().into_iter().chain(program).collect())
}

/// Instructions that answer "no such call" to numbers of x32, and go on with all others.
fn without_x32() -> [sock_filter; 3] {
    let instruction = |code: u32, otherwise, k| sock_filter { code: code as u16, jt: 0, jf: otherwise, k };
    [
        // The number is the first word of seccomp_data.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, 1, X32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs()),
    ]
}
