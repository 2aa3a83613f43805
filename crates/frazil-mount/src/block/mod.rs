//! The block face: a FUSE file that *is* the EROFS image, and the kernel's own EROFS mounted on it.
//!
//! Metadata, page cache and permission checks are the kernel's then; the agent sees first touches only. The FUSE
//! superblock is never attached to a directory: EROFS holds the one file of it, so the session lives exactly as
//! long as the EROFS mount, however that is unmounted, and nothing can be left behind.

mod erofs;
mod file;
mod loop_device;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use tokio::runtime::Handle;

pub(crate) use erofs::{Backing, look_for_erofs};
#[cfg(feature = "bench")]
pub(crate) use file::BlockFile;

use crate::MountError;
use crate::reader::AddressSpace;
use crate::session::{FuseMount, Serving, serve};

/// What /proc/mounts shows before the image's name, so that an EROFS mount can be told for Frazil's.
pub(crate) const SOURCE_PREFIX: &str = "frazil:";

/// An EROFS mount that is attached nowhere yet.
pub(crate) struct ErofsMount {
    /// The detached mount.
    pub(crate) mount: OwnedFd,
    /// The session of the file below it.
    pub(crate) serving: Serving,
    /// How the kernel reaches that file.
    pub(crate) backing: Backing,
}

/// Serves `space` as a file and mounts EROFS on it, attached nowhere. Blocks until the kernel has read the
/// superblock.
///
/// # Errors
///
/// [`MountError::Kernel`] naming the step that failed.
pub(crate) fn mount_erofs(
    space: Arc<impl AddressSpace>,
    name: &str,
    runtime: Handle,
) -> Result<ErofsMount, MountError> {
    let step = |step| move |source| MountError::Kernel { step, source };
    let file_name = source_name(name);
    let fuse = FuseMount::new(&file_name).map_err(step("create a FUSE superblock"))?;
    let file_system = file::BlockFile::new(space, file_name.clone(), runtime);
    let serving = serve(file_system, fuse.device).map_err(step("serve the block image"))?;
    let file_name = CString::new(file_name)
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
        .map_err(step("name the block image"))?;
    let (mount, backing) = erofs::mount_detached(fuse.mount.as_fd(), &file_name)?;
    Ok(ErofsMount { mount, serving, backing })
}

/// What /proc/mounts shows as the source of an image's EROFS mount. It is also a file's name, so a slash
/// becomes `!`, as it does in sysfs.
pub(crate) fn source_name(name: &str) -> String {
    format!("{SOURCE_PREFIX}{}", name.replace('/', "!"))
}
