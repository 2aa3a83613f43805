//! Mounting and unmounting an image.
//!
//! [`mount`] returns when the tree is readable. What it gives serves until somebody unmounts the directory, by
//! [`unmount`], by [`Mounted::unmount`] or with a plain `umount`: all end the session.

mod detached;
mod face;
mod holders;
mod mounted;
mod mountinfo;
mod place;
mod read_ahead;
mod unmount;

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use detached::{Detached, HandedOn};
pub use face::{Face, FaceChoice, Shown};
pub use mounted::Mounted;
pub use unmount::{unmount, unmount_or_detach};

use crate::block::{Backing, ErofsMount, look_for_erofs, mount_erofs};
use crate::reader::Image;
use crate::session::{FuseMount, Serving, attach, errno_of, mount_with_fusermount, serve};
use crate::tree::{Files, TreeFs};
use crate::visit::visit;
use crate::{MountError, block::source_name};

/// How an image is mounted.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// Which face is to show it.
    pub face: FaceChoice,
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
    let (serving, shown) = match mount_detached(image, options).await {
        Ok(Detached { mount, serving, shown }) => {
            blocking({
                let dir = dir.clone();
                move || attach(mount.as_fd(), &dir).map_err(step("attach the mount"))
            })
            .await?;
            (serving, shown)
        }
        // The kernel lets an ordinary user mount nothing; a set-user-id program may.
        Err(error) if options.face != FaceChoice::Just(Face::Erofs) && is_forbidden(&error) => {
            let serving = mount_tree_with_fusermount(image, &dir, &options.name).await?;
            (serving, options.face.without_erofs(&error))
        }
        Err(error) => return Err(error),
    };
    let mounted = Mounted::new(dir, shown, serving);
    look(mounted.dir().to_owned()).await?;
    Ok(mounted)
}

/// Looks at the root of a mount through the kernel, and raises its read-ahead: after this the tree is readable.
async fn look(root: PathBuf) -> Result<(), MountError> {
    let look = move || place::look(&root).map(|()| read_ahead::raise(&root));
    blocking(|| visit(&[], look).map_err(step("visit the mount"))?).await
}

/// Mounts an image nowhere, and serves it in the background: for whoever attaches it in another mount
/// namespace than this process's.
///
/// # Errors
///
/// [`MountError`]; nothing is left mounted then.
pub async fn mount_detached(image: &Arc<Image>, options: &MountOptions) -> Result<Detached, MountError> {
    let name = &options.name;
    match options.face {
        FaceChoice::Just(Face::Tree) => mount_tree(image, name, Shown::as_asked(Face::Tree)).await,
        FaceChoice::Just(Face::Erofs) => mount_block(image, name, |_| Shown::as_asked(Face::Erofs)).await,
        FaceChoice::Best => match mount_block(image, name, Shown::by_erofs).await {
            // An image that could not be read will not be read as a tree either.
            Err(error) if is_the_kernels(&error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "EROFS does not show it");
                mount_tree(image, name, options.face.without_erofs(&error)).await
            }
            mounted => mounted,
        },
    }
}

/// Whether the error says that this kernel, or this user, cannot mount EROFS.
fn is_the_kernels(error: &MountError) -> bool {
    matches!(error, MountError::Kernel { source, .. } if errno_of(source) != Some(libc::EIO))
}

fn is_forbidden(error: &MountError) -> bool {
    matches!(error, MountError::Kernel { source, .. }
        if matches!(errno_of(source), Some(libc::EPERM | libc::EACCES)))
}

async fn mount_tree(image: &Arc<Image>, name: &str, shown: Shown) -> Result<Detached, MountError> {
    // This comes first: a user that may not do it goes another way, and reads the metadata there.
    let name = name.to_owned();
    let fuse = blocking(move || FuseMount::new(&name).map_err(step("create a FUSE superblock"))).await?;
    let files = Arc::new(Files::open(image).await?);
    blocking(move || {
        let serving = serve(TreeFs::new(files), fuse.device).map_err(step("serve the tree"))?;
        Ok(Detached { mount: fuse.mount, serving, shown })
    })
    .await
}

async fn mount_tree_with_fusermount(
    image: &Arc<Image>,
    dir: &Path,
    name: &str,
) -> Result<Serving, MountError> {
    let files = Arc::new(Files::open(image).await?);
    let (dir, name) = (dir.to_owned(), name.to_owned());
    blocking(move || {
        let device = mount_with_fusermount(&name, &dir)?;
        serve(TreeFs::new(files), device).map_err(step("serve the tree"))
    })
    .await
}

async fn mount_block(
    image: &Arc<Image>,
    name: &str,
    shown: impl FnOnce(Backing) -> Shown,
) -> Result<Detached, MountError> {
    blocking(look_for_erofs).await?;
    // What the kernel reads first. Its own error would be "Input/output error", and name no chunk.
    image.read(0, frazil_erofs::BLOCK_SIZE).await?;
    let (image, name) = (Arc::clone(image), name.to_owned());
    let ErofsMount { mount, serving, backing } = blocking(move || {
        let runtime = image.runtime().clone();
        let erofs = mount_erofs(image, &name, runtime)?;
        tracing::debug!(source = source_name(&name), backing = ?erofs.backing, "EROFS is mounted");
        Ok(erofs)
    })
    .await?;
    Ok(Detached { mount, serving, shown: shown(backing) })
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
