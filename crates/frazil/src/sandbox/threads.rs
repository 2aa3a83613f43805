//! Restrictions that the kernel puts on one thread at a time, put on all of them.
//!
//! "No new privileges" and Landlock are properties of a thread, which new threads inherit. A runtime and a FUSE
//! session have threads already; so each is interrupted by a signal whose handler restricts it. The kernel's own
//! word, `NoNewPrivs` in each thread's status, says when all are done.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::landlock::{Rules, restrict_this_thread};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long threads are given between two looks, at first and at most: most run at once, and a mount waits for them.
const FIRST_POLL: Duration = Duration::from_micros(50);
const LAST_POLL: Duration = Duration::from_millis(1);

/// What the handler puts on; -1 if there are no rules.
static RULES_FD: AtomicI32 = AtomicI32::new(-1);

/// Restricts every thread of the process, and with them those that they start.
///
/// # Errors
/// If a thread cannot be restricted in time; some may be by then.
pub(super) fn restrict_all(rules: Option<&Rules>) -> io::Result<()> {
    RULES_FD.store(rules.map_or(-1, Rules::raw_fd), SeqCst);
    let signal = libc::SIGRTMIN() + 7;
    handle(signal)?;
    let this = rustix::thread::gettid().as_raw_nonzero().get();
    let deadline = Instant::now() + PATIENCE;
    let (mut told, mut poll) = (HashSet::new(), FIRST_POLL);
    loop {
        let open = unrestricted_but(this)?;
        if open.is_empty() {
            break;
        }
        if Instant::now() >= deadline {
            let message = format!("threads {open:?} are not restricted after {PATIENCE:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        // Once each: the signal waits until its thread runs, and rules stack only so high.
        for thread in open.into_iter().filter(|thread| told.insert(*thread)) {
            tell(thread, signal);
        }
        std::thread::sleep(poll);
        poll = (poll * 2).min(LAST_POLL);
    }
    // The last, since it cannot look at the others afterwards. Its signal has been handled when this returns.
    tell(this, signal);
    Ok(())
}

/// Sends a signal to a thread of this process; one that has ended meanwhile needs none.
fn tell(thread: i32, signal: i32) {
    // SAFETY: tgkill takes no memory, and reaches threads of this process only.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal) };
}

fn handle(signal: i32) -> io::Result<()> {
    // SAFETY: all zeros are a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = restrict as extern "C" fn(i32) as libc::sighandler_t;
    // What is interrupted goes on as if nothing had been.
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the handler makes system calls and reads an atomic, and nothing else.
    let set = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The handler. Landlock demands the flag of who has no privileges, so that comes first; what a thread was about to
/// do, it does when the handler has returned, with both.
extern "C" fn restrict(_: i32) {
    let rules_fd = RULES_FD.load(SeqCst);
    // SAFETY: the calls take no memory; errno is put back as it was found.
    unsafe {
        let errno = *libc::__errno_location();
        let flagged = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
        if !flagged || (rules_fd >= 0 && !restrict_this_thread(rules_fd)) {
            // An agent that is half restricted must not serve.
            libc::_exit(70);
        }
        *libc::__errno_location() = errno;
    }
}

/// Threads that may still gain privileges, beside this one.
fn unrestricted_but(this: i32) -> io::Result<Vec<i32>> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let Some(thread) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        if thread == this {
            continue;
        }
        // A thread that ends between two looks is restricted enough.
        let status = fs::read_to_string(format!("/proc/self/task/{thread}/status")).unwrap_or_default();
        if status.lines().any(|line| line.split_ascii_whitespace().eq(["NoNewPrivs:", "0"])) {
            open.push(thread);
        }
    }
    Ok(open)
}
