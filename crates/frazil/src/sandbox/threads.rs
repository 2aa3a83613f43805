//! Restrictions that the kernel puts on one thread at a time, put on all of them.
//!
//! "No new privileges", Landlock and capabilities are properties of a thread, which new threads inherit. A runtime and
//! a FUSE session have threads already; so each is interrupted by a signal whose handler restricts it, and then says so.
//!
//! Invariant: when all are restricted nobody is between the two any more. A flag that the handler has set says less.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use super::landlock::{Rules, restrict_this_thread};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a thread is waited for before it is looked whether it is still there, in nanoseconds.
const POLL_NS: i64 = 1_000_000;

/// What the handler puts on; -1 if there are no rules.
static RULES_FD: AtomicI32 = AtomicI32::new(-1);

/// Where the handler says which thread it has restricted.
static DONE_FD: AtomicI32 = AtomicI32::new(-1);

/// Restricts every thread of the process, and with them those that they start.
///
/// # Errors
/// If a thread cannot be restricted in time; some may be by then.
pub(super) fn restrict_all(rules: Option<&Rules>) -> io::Result<()> {
    let (done, their_done) = pipe_with(PipeFlags::CLOEXEC)?;
    RULES_FD.store(rules.map_or(-1, Rules::raw_fd), SeqCst);
    DONE_FD.store(their_done.as_raw_fd(), SeqCst);
    let signal = libc::SIGRTMIN() + 7;
    handle(signal)?;
    let this = rustix::thread::gettid().as_raw_nonzero().get();
    let deadline = Instant::now() + PATIENCE;
    let (mut told, mut restricted) = (HashSet::new(), HashSet::from([this]));
    loop {
        // In this order: threads that a restricted thread has started before then are seen in the list.
        restricted.extend(heard(&done)?);
        let open: Vec<i32> = threads()?.into_iter().filter(|thread| !restricted.contains(thread)).collect();
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
        wait(&done, POLL_NS)?;
    }
    // The last, since it cannot look at the others afterwards. Its signal has been handled when this returns.
    tell(this, signal);
    Ok(())
}

/// The threads that have said that they are restricted and were not heard yet.
fn heard(done: &OwnedFd) -> io::Result<Vec<i32>> {
    let mut heard = Vec::new();
    while wait(done, 0)? {
        let mut word = [0; size_of::<i32>()];
        // A word is written at once, so it comes whole.
        rustix::io::read(done, &mut word)?;
        heard.push(i32::from_ne_bytes(word));
    }
    Ok(heard)
}

/// Waits until a thread says something; says whether one does.
fn wait(done: &OwnedFd, nanoseconds: i64) -> io::Result<bool> {
    let limit = Timespec { tv_sec: 0, tv_nsec: nanoseconds };
    match poll(&mut [PollFd::new(done, PollFlags::IN)], Some(&limit)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The threads of this process.
fn threads() -> io::Result<Vec<i32>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        threads.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(threads)
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

/// Gives every capability of this thread up (capget(2)). Safe in a signal handler.
fn give_capabilities_up() -> bool {
    const VERSION_3: u32 = 0x2008_0522;
    let (header, none) = ([VERSION_3, 0], [0_u32; 6]);
    // SAFETY: the call reads the header and the two records of three words that its version has.
    unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) == 0 }
}

/// The handler. Landlock demands the "no new privileges" flag of a process without privileges, so that comes
/// first; what a thread was about to do it does when the handler has returned, under both.
extern "C" fn restrict(_: i32) {
    let rules_fd = RULES_FD.load(SeqCst);
    // SAFETY: the calls read numbers of this frame and its callees; errno is put back as it was found.
    unsafe {
        let errno = *libc::__errno_location();
        let restricted = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && (rules_fd < 0 || restrict_this_thread(rules_fd))
            && give_capabilities_up();
        let this = libc::gettid();
        let len = size_of::<i32>();
        let said = libc::write(DONE_FD.load(SeqCst), (&raw const this).cast(), len) == len as isize;
        if !restricted || !said {
            // An agent that is half restricted must not serve.
            libc::_exit(70);
        }
        *libc::__errno_location() = errno;
    }
}
