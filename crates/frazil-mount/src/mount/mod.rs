//! Mounting and unmounting an image.
//!
//! [`mount`] returns when the tree is readable. What it gives serves until somebody unmounts the directory, by
//! [`unmount`], by [`Mounted::unmount`] or with a plain `umount`: all end the session.

mod face;
mod holders;
mod mounted;
mod mountinfo;
mod place;
mod probe;
mod read_ahead;
mod unmount;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use face::Face;
pub use mounted::Mounted;
pub use probe::{Probe, probe};
pub use unmount::unmount;

use crate::block::mount_erofs;
use crate::reader::Image;
use crate::session::{FuseMount, Serving, attach, errno_of, mount_with_fusermount, serve};
use crate::tree::{Files, TreeFs};
use crate::{MountError, block::source_name};

/// How an image is mounted.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// Which face shows it.
    pub face: Face,
    /// The image's name, as /proc/mounts is to show it.
    pub name: String,
}

/// Mounts an image at a directory, which must exist and be empty, and serves it in the background. When this
/// returns, the root has been looked at and listed through the kernel.
///
/// # Errors
///
/// [`MountError`]; nothing is left mounted then.
pub async fn mount(image: &Arc<Image>, dir: &Path, options: &MountOptions) -> Result<Mounted, MountError> {
    let dir = blocking({
        let dir = dir.to_owned();
        move || place::check(&dir)
    })
    .await?;
    image.prefetch_metadata();
    let serving = match options.face {
        Face::Tree => mount_tree(image, &dir, &options.name).await?,
        Face::Erofs => mount_block(image, &dir, &options.name).await?,
    };
    let mounted = Mounted::new(dir, options.face, serving);
    blocking({
        let dir = mounted.dir().to_owned();
        move || place::look(&dir)
    })
    .await?;
    Ok(mounted)
}

async fn mount_tree(image: &Arc<Image>, dir: &Path, name: &str) -> Result<Serving, MountError> {
    let files = Arc::new(Files::open(image).await?);
    let (dir, name) = (dir.to_owned(), name.to_owned());
    blocking(move || {
        let file_system = TreeFs::new(files);
        let serving = match FuseMount::new(&name) {
            Ok(fuse) => {
                let serving = serve(file_system, fuse.device).map_err(step("serve the tree"))?;
                attach(std::os::fd::AsFd::as_fd(&fuse.mount), &dir).map_err(step("mount the tree"))?;
                serving
            }
            Err(error) if matches!(errno_of(&error), Some(libc::EPERM | libc::EACCES)) => {
                let device = mount_with_fusermount(&name, &dir)?;
                serve(file_system, device).map_err(step("serve the tree"))?
            }
            Err(error) => return Err(step("create a FUSE superblock")(error)),
        };
        read_ahead::raise(&dir);
        Ok(serving)
    })
    .await
}

async fn mount_block(image: &Arc<Image>, dir: &Path, name: &str) -> Result<Serving, MountError> {
    // What the kernel reads first. Its own error would be "Input/output error", and name no chunk.
    image.read(0, frazil_erofs::BLOCK_SIZE).await?;
    let (image, dir, name) = (Arc::clone(image), dir.to_owned(), name.to_owned());
    blocking(move || {
        let runtime = image.runtime().clone();
        let erofs = mount_erofs(image, &name, runtime)?;
        attach(std::os::fd::AsFd::as_fd(&erofs.mount), &dir).map_err(step("mount EROFS"))?;
        tracing::debug!(source = source_name(&name), backing = ?erofs.backing, "EROFS is mounted");
        read_ahead::raise(&dir);
        Ok(erofs.serving)
    })
    .await
}

fn step(step: &'static str) -> impl Fn(std::io::Error) -> MountError {
    move |source| MountError::Kernel { step, source }
}

/// Runs what waits for the kernel, which in turn may wait for the reader, off the reactor.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MountError> + Send + 'static,
) -> Result<T, MountError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(step("run a blocking step")(error.into())),
    }
}

/// A path without symlinks on the way, whose last part is not touched: it may be a mount that is dead.
fn resolve(dir: &Path) -> std::io::Result<PathBuf> {
    match (dir.parent(), dir.file_name()) {
        (Some(parent), Some(name)) => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            Ok(parent.canonicalize()?.join(name))
        }
        _ => dir.canonicalize(),
    }
}
