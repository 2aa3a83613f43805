//! Who waits for an answer, and whether it was killed meanwhile.
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
    loop {
        tokio::time::sleep(pause).await;
        match look_at(pid) {
            Requester::Waiting => pause = (pause * 2).min(PAUSE_MAX),
            Requester::BeingKilled => return,
            Requester::Gone => return tokio::time::sleep(GRACE).await,
        }
    }
}

fn look_at(pid: u32) -> Requester {
    match std::fs::read_to_string(format!("/proc/{pid}/status")) {
        Ok(status) if has_sigkill_pending(&status) => Requester::BeingKilled,
        Ok(_) => Requester::Waiting,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Requester::Gone,
        // Hidden from this user, perhaps (hidepid).
        Err(_) => Requester::Waiting,
    }
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
        assert_eq!(look_at(std::process::id()), Requester::Waiting);
        assert_eq!(look_at(u32::MAX), Requester::Gone);
    }
}
