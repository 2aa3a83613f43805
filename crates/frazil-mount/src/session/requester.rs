//! The process that waits for an answer, and whether it was killed meanwhile.
//!
//! The kernel lets a killed process go while it waits for a page, but not while it waits for the answer to a
//! request of its own (a lookup, a directory): such a process hangs until it is answered. FUSE's own way to
//! tell, FUSE_INTERRUPT, is answered by `fuser` with "not supported", so the agent looks for itself: a fatal
//! signal leaves SIGKILL pending in every thread of the process.
//!
//! Read-ahead of a process that is gone holds its page, and an unmount waits for that page. Nobody else loses by
//! its failing: whoever wants the page asks again.

use std::time::Duration;

/// How long a request waits before its process is looked at, and the longest pause between two looks.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long a request outlives its process: another one may come for the same page.
const GRACE: Duration = Duration::from_secs(2);

/// SIGKILL in the masks of `/proc/PID/status`.
const SIGKILL_BIT: u64 = 1 << (libc::SIGKILL - 1);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Requester {
    Waiting,
    BeingKilled,
    Gone,
}

/// Returns when the thread `pid` no longer wants an answer: it was killed and still waits, or it is gone. Never,
/// if it is unknown here (0: it lives in a foreign pid namespace).
pub(super) async fn gives_up(pid: u32) {
    if pid == 0 {
        return std::future::pending().await;
    }
    let mut pause = FIRST_LOOK;
    let mut birth = None;
    loop {
        tokio::time::sleep(pause).await;
        match look_at(pid, &mut birth) {
            Requester::Waiting => pause = (pause * 2).min(PAUSE_MAX),
            Requester::BeingKilled => return,
            Requester::Gone => return tokio::time::sleep(GRACE).await,
        }
    }
}

/// Looks at the thread `pid`; the first look notes its birth, so that another thread that gets its number later is
/// not taken for it.
fn look_at(pid: u32, birth: &mut Option<u64>) -> Requester {
    let read = |file| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
    match (read("status"), read("stat")) {
        (Ok(status), Ok(stat)) => {
            let born = birth_in(&stat);
            if birth.is_some() && *birth != born {
                return Requester::Gone;
            }
            *birth = born;
            if has_sigkill_pending(&status) { Requester::BeingKilled } else { Requester::Waiting }
        }
        (Err(error), _) | (_, Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Requester::Gone,
        // Hidden from this user, perhaps (hidepid).
        _ => Requester::Waiting,
    }
}

/// When a thread was started, in clock ticks since boot: field 22 of `/proc/PID/stat`, counted from behind the
/// name, which may hold anything.
fn birth_in(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn has_sigkill_pending(status: &str) -> bool {
    status
        .lines()
        .filter_map(|line| line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:")))
        .filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .any(|mask| mask & SIGKILL_BIT != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_sigkill_is_seen_in_either_mask_and_nothing_else_is_taken_for_one() {
        assert!(has_sigkill_pending("Name:\tcat\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n"));
        assert!(has_sigkill_pending("SigPnd:\t0000000000000000\nShdPnd:\t0000000000000101\n"));
        assert!(!has_sigkill_pending(
            "SigPnd:\t0000000000000002\nShdPnd:\t0000000000004000\nSigBlk:\tffff\n"
        ));
        assert!(!has_sigkill_pending("SigPnd:\tnonsense\n"));
    }

    #[test]
    fn a_thread_that_inherits_a_number_is_not_taken_for_the_one_that_had_it() {
        let pid = std::process::id();
        let mut birth = None;
        assert_eq!(look_at(pid, &mut birth), Requester::Waiting);
        assert!(birth.is_some_and(|born| born > 0));
        assert_eq!(look_at(pid, &mut birth), Requester::Waiting);
        assert_eq!(look_at(pid, &mut Some(1)), Requester::Gone);
        assert_eq!(look_at(u32::MAX, &mut None), Requester::Gone);
        assert_eq!(birth_in("1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 77 9 9"), Some(77));
    }
}
