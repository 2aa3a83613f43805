//! Which face this host can have, found out by trying.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use frazil_erofs::{Inode, InodeKind, Params, Timestamp, Tree};
use futures::future::BoxFuture;
use tokio::runtime::Handle;

use super::{Face, blocking};
use crate::block::{Backing, mount_erofs};
use crate::session::errno_of;
use crate::{AddressSpace, MountError, ReadError};

/// What a probe found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// The better face of those that work here.
    pub face: Face,
    /// Why, in words.
    pub reason: String,
}

/// Tries the EROFS face with a tiny image, mounted nowhere: the way of a real mount, not a table of kernel
/// versions. The tree face works wherever FUSE does, so it needs no trial.
pub async fn probe() -> Probe {
    let runtime = Handle::current();
    let tried = blocking(move || mount_erofs(Arc::new(TinyImage::new()?), "probe", runtime)).await;
    let (face, reason) = match tried {
        Ok(erofs) => (Face::Erofs, in_words(erofs.backing).to_owned()),
        Err(error) => (Face::Tree, why_not(&error)),
    };
    Probe { face, reason }
}

fn in_words(backing: Backing) -> &'static str {
    match backing {
        Backing::FileDirect => "the kernel mounts EROFS from a file",
        Backing::File => "the kernel mounts EROFS from a file, though without direct I/O",
        Backing::Loop => "the kernel mounts EROFS from a loop device",
    }
}

fn why_not(error: &MountError) -> String {
    match error {
        MountError::Kernel { source, .. } if matches!(errno_of(source), Some(libc::EPERM | libc::EACCES)) => {
            "EROFS can be mounted by root alone".to_owned()
        }
        MountError::Kernel { source, .. } if errno_of(source) == Some(libc::ENODEV) => {
            "this kernel has no EROFS".to_owned()
        }
        MountError::Kernel { step, source } => format!("EROFS does not work here: cannot {step}: {source}"),
        error => format!("EROFS does not work here: {error}"),
    }
}

/// An EROFS image of an empty directory.
struct TinyImage(Bytes);

impl TinyImage {
    fn new() -> Result<Self, MountError> {
        let root = Inode {
            kind: InodeKind::Directory(BTreeMap::new()),
            mode: 0o555,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            xattrs: Vec::new(),
        };
        let params = Params { uuid: *b"frazil's probe  ", data_blocks: 0 };
        let metadata = frazil_erofs::write(&Tree::new(root), &params).map_err(ReadError::from)?;
        Ok(Self(metadata.bytes.into()))
    }

    fn range(&self, offset: u64, len: usize) -> Bytes {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        self.0.slice(start..start.saturating_add(len).min(self.0.len()))
    }
}

impl AddressSpace for TinyImage {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn try_read(&self, offset: u64, len: usize, sink: &mut dyn FnMut(&[u8])) -> bool {
        sink(&self.range(offset, len));
        true
    }

    fn read(self: Arc<Self>, offset: u64, len: usize) -> BoxFuture<'static, Result<Bytes, ReadError>> {
        let bytes = self.range(offset, len);
        Box::pin(async move { Ok(bytes) })
    }
}
