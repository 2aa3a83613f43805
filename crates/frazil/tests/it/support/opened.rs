//! Which files of a store were opened, as the kernel tells it: a count that no program keeps about itself.

use std::ffi::OsStr;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

/// Watches the chunks of a store from its making on.
pub(crate) struct OpenedChunks(OwnedFd);

impl OpenedChunks {
    /// Watches the chunks that are in the store at `root` now.
    #[track_caller]
    pub(crate) fn watch(root: &Path) -> Self {
        let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        for generation in fs::read_dir(root.join("roots")).unwrap() {
            for directory in fs::read_dir(generation.unwrap().path().join("chunks")).unwrap() {
                inotify::add_watch(&watch, directory.unwrap().path(), WatchFlags::OPEN).unwrap();
            }
        }
        Self(watch)
    }

    /// The ids of the chunks that were opened, once for each time.
    #[track_caller]
    pub(crate) fn ids(self) -> Vec<String> {
        let (mut ids, mut buffer) = (Vec::new(), [MaybeUninit::uninit(); 1 << 16]);
        let mut events = inotify::Reader::new(self.0, &mut buffer);
        loop {
            match events.next() {
                Err(Errno::WOULDBLOCK) => return ids,
                event => {
                    let event = event.unwrap();
                    assert!(!event.events().contains(ReadFlags::QUEUE_OVERFLOW), "too many to be counted");
                    // An event of a directory itself is no chunk's.
                    if let (Some(name), false) =
                        (event.file_name(), event.events().contains(ReadFlags::ISDIR))
                    {
                        ids.push(OsStr::from_bytes(name.to_bytes()).to_str().unwrap().to_owned());
                    }
                }
            }
        }
    }
}
