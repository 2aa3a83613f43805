//! Signals as messages: blocked, waited for, and passed on to the process they are meant for.
//!
//! Invariant: what the terminal sends goes to its whole foreground process group, so a container that shares it has it
//! already; only what a process sent is passed on there. A container with a terminal of its own is in no such group.

use std::io;
use std::mem::MaybeUninit;

/// What is passed on, and what tells that a child ended.
const HANDLED: [i32; 8] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
    libc::SIGCHLD,
];

/// Signals that are blocked from now on, in this thread and all that it starts.
pub(crate) struct Signals {
    set: libc::sigset_t,
}

/// One signal that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrival {
    /// A child changed its state.
    Child,
    /// A process sent this signal.
    FromProcess(i32),
    /// The terminal sent this signal, also to a container that shares it.
    FromTerminal(i32),
}

impl Signals {
    /// Blocks the signals that are passed on. `SIGTTOU` too: the terminal is taken back from the background.
    pub(crate) fn block() -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises the set that it is given.
        let mut set = unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            set.assume_init()
        };
        for signal in HANDLED {
            // SAFETY: the set is initialised and the number is a signal's.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        let mut blocked = set;
        // SAFETY: both sets are initialised; the old mask is not asked for.
        let result = unsafe {
            libc::sigaddset(&raw mut blocked, libc::SIGTTOU);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const blocked, std::ptr::null_mut())
        };
        if result == 0 { Ok(Self { set }) } else { Err(io::Error::from_raw_os_error(result)) }
    }

    /// Waits for the next one.
    pub(crate) fn next(&self) -> io::Result<Arrival> {
        loop {
            let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
            // SAFETY: the set is initialised and the kernel fills the structure, which is plain data.
            let signal = unsafe { libc::sigwaitinfo(&raw const self.set, info.as_mut_ptr()) };
            if signal < 0 {
                let error = io::Error::last_os_error();
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return Err(error);
            }
            // SAFETY: sigwaitinfo returned a signal, so the structure is filled.
            let code = unsafe { info.assume_init() }.si_code;
            return Ok(match signal {
                libc::SIGCHLD => Arrival::Child,
                // A process's signal has a code of zero or below (sigaction(2)); the terminal's has SI_KERNEL.
                signal if code > 0 => Arrival::FromTerminal(signal),
                signal => Arrival::FromProcess(signal),
            });
        }
    }
}

/// Lets every signal through again, as a program that was just started expects: executing it keeps the mask.
pub(crate) fn unblock() -> io::Result<()> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set, of which the next call only reads; the old mask is not asked for.
    let result = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

/// Sends a signal to a process; a process that is gone needs none.
pub(crate) fn send(pid: libc::pid_t, signal: i32) {
    // SAFETY: kill has no memory effects here.
    unsafe { libc::kill(pid, signal) };
}
