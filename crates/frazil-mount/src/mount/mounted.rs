//! A mounted image, while it is served.

use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;

use super::mountinfo::{MountLine, mount_at};
use super::{Shown, blocking, unmount};
use crate::MountError;
use crate::session::Serving;

/// An image that is mounted and served by this process. Dropping it unmounts, even if the mount is in use.
#[derive(Debug)]
pub struct Mounted {
    dir: PathBuf,
    shown: Shown,
    mount_id: Option<u64>,
    serving: Serving,
}

impl Mounted {
    pub(super) fn new(dir: PathBuf, shown: Shown, serving: Serving) -> Self {
        let mount_id = mount_at(&dir).ok().flatten().map(|mount| mount.id);
        Self { dir, shown, mount_id, serving }
    }

    /// Where it is mounted.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Which face shows it, and why.
    pub fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Waits until it is unmounted, by whomever.
    ///
    /// # Errors
    ///
    /// [`MountError::Session`] if serving ended otherwise.
    pub async fn wait(&mut self) -> Result<(), MountError> {
        self.serving.ended().await.map_err(|source| MountError::Session { source })
    }

    /// Unmounts it and waits until the session has ended.
    ///
    /// # Errors
    ///
    /// [`MountError::Busy`] if a process uses it; it stays mounted then.
    pub async fn unmount(mut self) -> Result<(), MountError> {
        self.try_unmount().await
    }

    /// As [`Mounted::unmount`], for a caller that goes on serving if the mount is in use.
    ///
    /// # Errors
    ///
    /// [`MountError::Busy`] if a process uses it; it stays mounted and served then.
    pub async fn try_unmount(&mut self) -> Result<(), MountError> {
        if self.line().is_some() {
            let dir = self.dir.clone();
            blocking(move || unmount(&dir)).await?;
        }
        self.wait().await
    }

    /// The mount, if it is still this one that is seen at the directory.
    fn line(&self) -> Option<MountLine> {
        let line = mount_at(&self.dir).ok().flatten()?;
        (Some(line.id) == self.mount_id).then_some(line)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if self.serving.has_ended() || self.line().is_none() {
            return;
        }
        if let Err(error) = super::unmount::detach(&self.dir, UnmountFlags::DETACH) {
            tracing::warn!(dir = %self.dir.display(), %error, "cannot unmount");
        }
    }
}
