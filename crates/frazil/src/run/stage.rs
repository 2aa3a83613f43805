//! The stage: a file system in memory, seen in this process's mount namespace alone, on which a container's
//! root file system is put together.
//!
//! Invariant: on the host there is only an empty directory, the same one for every run, so a run that is
//! killed leaves nothing behind.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::mount::MountAttrFlags;

use super::attach;
use super::spec::{IMAGE, ROOT, UPPER, WORK};
use crate::places;

/// Where the parts of a container's root file system are.
#[derive(Debug)]
pub(crate) struct Stage(PathBuf);

/// What the run itself writes to the stage, such as /etc/resolv.conf: it must not fail where a command may write
/// little, and a size of 0 would be none.
const OWN_BYTES: u64 = 64 << 10;

impl Stage {
    /// The directory on the host; before the namespaces change whose directory it is.
    pub(crate) fn directory() -> Result<PathBuf> {
        let directory = places::runtime()?.join("stage");
        places::private_directory(&directory)?;
        Ok(directory)
    }

    /// Mounts the stage on that directory, in a mount namespace of this process's own. It holds
    /// `writable_bytes` and [`OWN_BYTES`] more, of which the container may write what the run leaves.
    pub(crate) fn mount(directory: PathBuf, writable_bytes: Option<u64>) -> Result<Self> {
        let size = writable_bytes.map(|bytes| bytes.saturating_add(OWN_BYTES).to_string());
        let mut options = vec![("source", "frazil"), ("mode", "755")];
        // The kernel's own limit is half of the memory.
        options.extend(size.as_deref().map(|size| ("size", size)));
        let flags = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOSUID;
        let tree = attach::new_file_system("tmpfs", &options, flags);
        tree.and_then(|tree| attach::attach(&tree, &directory))
            .with_context(|| format!("cannot mount a file system in memory at {}", directory.display()))?;
        for name in [IMAGE, UPPER, WORK, ROOT] {
            fs::create_dir(directory.join(name))
                .with_context(|| format!("cannot make {name} on the stage"))?;
        }
        Ok(Self(directory))
    }

    /// The stage's directory.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where the image is to be mounted.
    pub(crate) fn image(&self) -> PathBuf {
        self.0.join(IMAGE)
    }

    /// Shows the image.
    pub(crate) fn show(&self, image: &OwnedFd) -> Result<()> {
        attach::attach(image, &self.image()).context("cannot attach the image's mount")
    }
}
