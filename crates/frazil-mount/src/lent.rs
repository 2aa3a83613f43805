//! A thread that is lent to whoever opens a chunk: a FUSE thread to the reader of its request, or one that opens ahead.
//!
//! What a request needs may be here already, sealed: then the request's own thread opens it, without the way
//! to another thread and back, which would take a third as long again. A FUSE thread is lent for little: other
//! requests wait for the same threads, and several chunks are better opened at once.

use std::cell::Cell;

/// As much as is opened in about 200 µs, in bytes.
const LENT_BYTES: u32 = 256 << 10;

thread_local! {
    /// What this thread may still open for the request that it has begun.
    static LEFT: Cell<u32> = const { Cell::new(0) };
}

/// Lends this thread to the reader of a request that it has begun.
pub(crate) fn to_reader<T>(work: impl FnOnce() -> T) -> T {
    lend(LENT_BYTES, work)
}

/// Lends this thread to `work`, for as much as that opens.
pub(crate) fn wholly<T>(work: impl FnOnce() -> T) -> T {
    lend(u32::MAX, work)
}

fn lend<T>(bytes: u32, work: impl FnOnce() -> T) -> T {
    struct TakenBack;

    impl Drop for TakenBack {
        fn drop(&mut self) {
            LEFT.set(0);
        }
    }

    LEFT.set(bytes);
    let _taken_back = TakenBack;
    work()
}

/// Whether this thread may open `bytes` bytes now; they are taken from what it may open afterwards.
pub(crate) fn take(bytes: u32) -> bool {
    let left = LEFT.get().checked_sub(bytes);
    LEFT.set(left.unwrap_or_default());
    left.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_lent_for_one_request_and_for_little() {
        assert!(!take(1), "it is nobody's");
        to_reader(|| {
            assert!(take(LENT_BYTES - 1) && take(1));
            assert!(!take(1), "that was all");
        });
        to_reader(|| assert!(!take(LENT_BYTES + 1) && !take(1), "others will do it, all of it"));
        let panicked = std::panic::catch_unwind(|| to_reader(|| panic!("a request")));
        assert!(panicked.is_err() && !take(1), "it is taken back in any case");
    }
}
