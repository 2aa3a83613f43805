//! Visits of a mount by the process that serves it.
//!
//! A process that asks a FUSE mount for something waits for the answer once its question was read, even when
//! it is killed; and the kernel ends a session when the last descriptor of its device is closed. So a visitor
//! that has the device open, as every thread of its server has, would wait for itself, and nothing could end
//! the process any more. Therefore a visitor is a thread with a table of open files of its own (unshare(2)).

use std::io;
use std::os::fd::BorrowedFd;

use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::descriptors::close_all_but;

/// Does `work`, which may wait for a mount of this process, on a thread that has nothing open but the standard streams
/// and what is `needed`. What it opens is gone when it returns.
///
/// `work` must own no descriptor: it would close it in vain.
///
/// # Errors
///
/// From the thread and its table; the work's own outcome is inside.
pub(crate) fn visit<T: Send>(needed: &[BorrowedFd<'_>], work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let visitor = std::thread::Builder::new().name("frazil-visitor".into());
        let visitor = visitor.spawn_scoped(scope, || {
            keep_only(needed)?;
            Ok(work())
        })?;
        visitor.join().unwrap_or_else(|_| Err(io::Error::other("the visiting thread died")))
    })
}

/// Gives this thread a table of its own, with nothing in it but the standard streams and these.
fn keep_only(needed: &[BorrowedFd<'_>]) -> io::Result<()> {
    // SAFETY: this thread has just begun, and what others own stays open in their table.
    unsafe { unshare_unsafe(UnshareFlags::FILES) }?;
    close_all_but(needed)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::path::PathBuf;

    use super::*;

    fn open_in_this_thread() -> Vec<PathBuf> {
        let open = std::fs::read_dir("/proc/thread-self/fd").unwrap();
        open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok()).collect()
    }

    #[test]
    fn a_visitor_has_what_it_needs_and_takes_nothing_from_the_others() {
        let [first, needed, last] =
            ["/dev/fuse", "/dev/null", "/dev/fuse"].map(|path| File::open(path).unwrap());
        let visited = visit(&[needed.as_fd()], open_in_this_thread).unwrap();
        assert!(visited.contains(&"/dev/null".into()), "{visited:?}");
        assert!(!visited.contains(&"/dev/fuse".into()), "{visited:?}");
        for file in [first, needed, last] {
            file.metadata().unwrap();
        }
    }
}
