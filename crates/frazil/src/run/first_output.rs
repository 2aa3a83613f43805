//! The first sign of life of a command: something is written to its standard output or error.
//!
//! Both are the caller's own, whatever they are, and stay so: the kernel tells of the write (inotify works on
//! terminals, files and pipes, not on sockets). Any other process that writes there is taken for the command;
//! that ends a recording early, once.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::pipe::{PipeFlags, pipe_with};

/// A watch. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct FirstOutput {
    _end: OwnedFd,
}

impl FirstOutput {
    /// Calls `told` from a thread of its own when something is written; none where that cannot be seen.
    pub(crate) fn watch(told: impl FnOnce() + Send + 'static) -> Option<Self> {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let mut watched = false;
        for stream in [1, 2] {
            let path = format!("/proc/self/fd/{stream}");
            if is_everybodys(&path) {
                continue;
            }
            let path = CString::new(path).ok()?;
            watched |= inotify::add_watch(&events, path.as_c_str(), WatchFlags::MODIFY).is_ok();
        }
        if !watched {
            return None;
        }
        let (ended, end) = pipe_with(PipeFlags::CLOEXEC).ok()?;
        let name = "first-output".to_owned();
        let waiting = thread::Builder::new().name(name).spawn(move || {
            if wait(&events, &ended) {
                told();
            }
        });
        waiting.ok().map(|_| Self { _end: end })
    }
}

/// Whether a write there does not tell which process wrote: so for a device without a file of its own.
fn is_everybodys(path: &str) -> bool {
    /// The major number of /dev/null and its like.
    const MEMORY_DEVICES: u32 = 1;
    let found = std::fs::metadata(path);
    found.is_ok_and(|found| {
        found.file_type().is_char_device() && rustix::fs::major(found.rdev()) == MEMORY_DEVICES
    })
}

/// Whether something was written before the watch ended.
fn wait(events: &OwnedFd, ended: &OwnedFd) -> bool {
    let mut ready = [PollFd::new(events, PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
    while let Err(rustix::io::Errno::INTR) = poll(&mut ready, None) {}
    ready[0].revents().contains(PollFlags::IN)
}
