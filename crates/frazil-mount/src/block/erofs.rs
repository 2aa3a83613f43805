//! Mounting EROFS on a file of a mount that has no name.
//!
//! EROFS wants a path (its source), and /proc/mounts shows that path for ever. So the path is relative: a thread
//! with a working directory of its own stands in the detached mount, where the file is called by the image's
//! name.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};
use rustix::process::fchdir;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::loop_device::LoopDevice;
use crate::session::{errno_of, host_mount_attributes, kernel_error};
use crate::visit::visit;
use crate::{MountError, passing};

/// How the kernel's EROFS reaches the block image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Backing {
    /// It reads the file itself, past the file's page cache (`directio`).
    FileDirect,
    /// It reads the file itself.
    File,
    /// It reads a loop device over the file.
    Loop,
}

/// Finds out whether this kernel has EROFS, and lets this process mount anything; costs a system call.
///
/// # Errors
///
/// [`MountError::Kernel`].
pub(crate) fn look_for_erofs() -> Result<(), MountError> {
    fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)
        .map(drop)
        .map_err(|error| MountError::Kernel { step: "mount EROFS", source: error.into() })
}

/// Mounts EROFS on the file `name` in the root of `root`, the best way that this kernel knows. This process may serve
/// the file.
pub(super) fn mount_detached(root: BorrowedFd<'_>, name: &CStr) -> Result<(OwnedFd, Backing), MountError> {
    let step = |source| MountError::Kernel { step: "visit the block image", source };
    // A visitor's table of open files goes with it: what it opens is passed on.
    let (here, there) = UnixStream::pair().map_err(step)?;
    let visited = visit(&[root, there.as_fd()], || {
        let (mount, backing) = mount_best(root, name)?;
        passing::send(&there, mount.as_fd()).map_err(step)?;
        Ok::<_, MountError>(backing)
    });
    let backing = visited.map_err(step)??;
    Ok((passing::receive(&here).map_err(step)?, backing))
}

fn mount_best(root: BorrowedFd<'_>, name: &CStr) -> Result<(OwnedFd, Backing), MountError> {
    let error = match create_in(root, name, Backing::FileDirect) {
        Ok(mount) => return Ok((mount, Backing::FileDirect)),
        // Before `directio` (6.15) it is an unknown option.
        Err(error) if errno_of(&error) == Some(libc::EINVAL) => match create_in(root, name, Backing::File) {
            Ok(mount) => return Ok((mount, Backing::File)),
            Err(error) => error,
        },
        Err(error) => error,
    };
    // Before file-backed mounts (6.12) a file is no block device.
    if errno_of(&error) != Some(libc::ENOTBLK) {
        return Err(MountError::Kernel { step: "mount EROFS on the block image", source: error });
    }
    Ok((mount_on_loop(root, name)?, Backing::Loop))
}

fn mount_on_loop(root: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, MountError> {
    let step = |step| move |source| MountError::Kernel { step, source };
    let file = openat(root, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| step("open the block image")(error.into()))?;
    let device = LoopDevice::over(file.as_fd()).map_err(step("set up a loop device"))?;
    create(device.path(), Backing::Loop).map_err(step("mount EROFS on a loop device"))
}

/// Runs on a thread of its own, which stands in `root` from now on.
fn create_in(root: BorrowedFd<'_>, name: &CStr, backing: Backing) -> io::Result<OwnedFd> {
    // SAFETY: only the working directory is unshared, of a visitor, which does nothing but this.
    unsafe { unshare_unsafe(UnshareFlags::FS) }?;
    fchdir(root)?;
    create(name, backing)
}

fn create(source: &CStr, backing: Backing) -> io::Result<OwnedFd> {
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let said = |error| kernel_error(context.as_fd(), error);
    fsconfig_set_string(context.as_fd(), "source", source).map_err(said)?;
    fsconfig_set_flag(context.as_fd(), "ro").map_err(said)?;
    if backing == Backing::FileDirect {
        fsconfig_set_flag(context.as_fd(), "directio").map_err(said)?;
    }
    fsconfig_create(context.as_fd()).map_err(said)?;
    Ok(fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, host_mount_attributes())?)
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use tokio::runtime::Runtime;

    use super::super::{file::BlockFile, source_name};
    use super::*;
    use crate::mount::unmount;
    use crate::session::{FuseMount, Serving, attach, serve};
    use crate::support::sample::{Built, everything};
    use crate::support::tier::{Fault, TestTier};
    use crate::{Image, ImageOptions};

    /// A sample image of this tier, served as a file: its mount, its session and its name.
    fn served(runtime: &Runtime, built: &Built, tier: Arc<TestTier>) -> (OwnedFd, Serving, CString) {
        let handle = runtime.handle().clone();
        let image =
            Image::new(built.manifest.clone(), tier, handle.clone(), ImageOptions::default()).unwrap();
        let name = source_name("tests/sample");
        let fuse = FuseMount::new(&name).unwrap();
        let serving = serve(BlockFile::new(image, name.clone(), handle), fuse.device).unwrap();
        (fuse.mount, serving, CString::new(name).unwrap())
    }

    #[test]
    fn a_kernel_without_file_backed_mounts_is_served_through_a_loop_device_that_frees_itself() {
        let runtime = Runtime::new().unwrap();
        let built = everything().build();
        let (file, mut serving, name) = served(&runtime, &built, TestTier::of(&built));
        let mount = mount_on_loop(file.as_fd(), &name).unwrap();
        drop(file);
        let dir = tempfile::tempdir().unwrap();
        attach(mount.as_fd(), dir.path()).unwrap();
        drop(mount);
        let read = std::fs::read(dir.path().join("etc/passwd"));
        // It is recognised as Frazil's; and when it goes, the device and the session below it go too.
        let unmounted = unmount(dir.path());
        assert_eq!(read.unwrap(), b"root:x:0:0::/:/bin/sh\n");
        unmounted.unwrap();
        runtime.block_on(serving.ended()).unwrap();
    }

    /// Mounts EROFS on a file whose bytes never come.
    fn mount_what_never_answers() {
        let runtime = Runtime::new().unwrap();
        let built = everything().build();
        let tier = TestTier::of(&built);
        tier.break_all_others(Fault::Stuck);
        let (file, _serving, name) = served(&runtime, &built, Arc::clone(&tier));
        std::thread::spawn(move || {
            while tier.asked().is_empty() {
                std::thread::sleep(Duration::from_millis(1));
            }
            println!("{ASKED}");
        });
        let _ = mount_detached(file.as_fd(), &name);
        panic!("it has been read");
    }

    const STUCK: &str = "FRAZIL_TEST_STUCK_MOUNT";
    const ASKED: &str = "the kernel waits";

    #[test]
    fn a_process_that_is_killed_while_it_waits_for_what_it_serves_itself_ends() {
        if std::env::var_os(STUCK).is_some() {
            return mount_what_never_answers();
        }
        let this = concat!(
            "block::erofs::tests::",
            "a_process_that_is_killed_while_it_waits_for_what_it_serves_itself_ends"
        );
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", this, "--nocapture"])
            .env(STUCK, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(said.any(|line| line.unwrap().contains(ASKED)));
        process.kill().unwrap();
        let limit = Instant::now() + Duration::from_secs(20);
        while process.try_wait().unwrap().is_none() {
            assert!(Instant::now() < limit, "it waits for itself, and nothing ends it");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
