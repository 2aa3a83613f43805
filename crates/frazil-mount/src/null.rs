//! A file of zeros through the very session, threads and flags of the block face: FUSE's own ceiling, for
//! benchmarks to stand beside.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::runtime::Handle;

use crate::block::BlockFile;
use crate::reader::{AddressSpace, READ_LEN_MAX};
use crate::session::{FuseMount, Serving, attach, serve};
use crate::{MountError, ReadError};

static ZEROS: [u8; READ_LEN_MAX] = [0; READ_LEN_MAX];

/// The name of the only file.
pub const FILE_NAME: &str = "zeros";

/// `len` zero bytes.
struct Zeros(u64);

impl Zeros {
    fn part(&self, offset: u64, len: usize) -> &'static [u8] {
        let available = usize::try_from(self.0.saturating_sub(offset)).unwrap_or(usize::MAX);
        &ZEROS[..len.min(available).min(READ_LEN_MAX)]
    }
}

impl AddressSpace for Zeros {
    fn len(&self) -> u64 {
        self.0
    }

    fn try_read(&self, offset: u64, len: usize, sink: &mut dyn FnMut(&[u8])) -> bool {
        sink(self.part(offset, len));
        true
    }

    fn read(self: Arc<Self>, offset: u64, len: usize) -> BoxFuture<'static, Result<Bytes, ReadError>> {
        let part = Bytes::from_static(self.part(offset, len));
        Box::pin(async move { Ok(part) })
    }
}

/// A mounted file of zeros; it goes when this is dropped.
#[derive(Debug)]
pub struct NullMount {
    dir: std::path::PathBuf,
    _mount: OwnedFd,
    _serving: Serving,
}

/// Mounts a file system at `dir` whose only file, [`FILE_NAME`], has `len` zero bytes. Root only.
///
/// # Errors
///
/// [`MountError::Kernel`] naming the step that failed.
pub fn mount(dir: &Path, len: u64) -> Result<NullMount, MountError> {
    let step = |step| move |source| MountError::Kernel { step, source };
    let fuse = FuseMount::new("null").map_err(step("create a FUSE superblock"))?;
    let file_system = BlockFile::new(Arc::new(Zeros(len)), FILE_NAME.to_owned(), Handle::current());
    let serving = serve(file_system, fuse.device).map_err(step("serve zeros"))?;
    attach(fuse.mount.as_fd(), dir).map_err(step("mount zeros"))?;
    Ok(NullMount { dir: dir.to_owned(), _mount: fuse.mount, _serving: serving })
}

impl Drop for NullMount {
    fn drop(&mut self) {
        // A benchmark that failed to unmount finds its mount in /proc/mounts; there is nobody else to tell.
        let _ = rustix::mount::unmount(&self.dir, rustix::mount::UnmountFlags::DETACH);
    }
}
