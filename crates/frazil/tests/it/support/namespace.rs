//! Mounts that nobody can forget: a thread with a mount namespace of its own, whose mounts end with it, whatever
//! ends it. What the thread starts lives in it too.

use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;

/// Runs a story where it may mount what it likes.
pub(crate) fn in_mount_namespace(story: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let told = scope.spawn(|| {
            // SAFETY: no table of file descriptors is unshared, only this thread's view of mounts.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
                .expect("this test mounts file systems: run it as root");
            rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
                .unwrap();
            story();
        });
        if let Err(panic) = told.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// An empty file system of so many bytes.
#[track_caller]
pub(crate) fn mount_tmpfs(at: &Path, bytes: u64) {
    let data = std::ffi::CString::new(format!("size={bytes},mode=0755")).unwrap();
    rustix::mount::mount("tmpfs", at, "tmpfs", MountFlags::empty(), Some(data.as_c_str())).unwrap();
}

/// Gives the file system at `at` another size.
#[track_caller]
pub(crate) fn resize_tmpfs(at: &Path, bytes: u64) {
    let data = std::ffi::CString::new(format!("size={bytes}")).unwrap();
    rustix::mount::mount_remount(at, MountFlags::empty(), data.as_c_str()).unwrap();
}

/// Makes what is below a directory read-only, seen from this thread.
#[track_caller]
pub(crate) fn make_read_only(at: &Path) {
    rustix::mount::mount_bind(at, at).unwrap();
    rustix::mount::mount_remount(at, MountFlags::BIND | MountFlags::RDONLY, "").unwrap();
}
