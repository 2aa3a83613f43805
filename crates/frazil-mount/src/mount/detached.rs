//! A mount that is attached nowhere.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::{Shown, look};
use crate::MountError;
use crate::session::Serving;

/// An image that is mounted nowhere, and served by this process until nobody holds the mount any more.
#[derive(Debug)]
pub struct Detached {
    pub(super) mount: OwnedFd,
    pub(super) serving: Serving,
    pub(super) shown: Shown,
}

/// A session without its mount, which others hold.
#[derive(Debug)]
pub struct HandedOn(Serving);

impl Detached {
    /// The mount, for move_mount(2).
    pub fn mount(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }

    /// Which face shows it, and why.
    pub fn shown(&self) -> &Shown {
        &self.shown
    }

    /// Looks at the root and lists it through the kernel: after this the tree is readable.
    ///
    /// # Errors
    ///
    /// [`MountError::NotReadable`].
    pub async fn look(&self) -> Result<(), MountError> {
        // As this process has it open, and not whoever looks.
        look(PathBuf::from(format!("/proc/self/fd/{}/.", self.mount.as_raw_fd()))).await
    }

    /// Lets go of the mount, which others hold by now.
    pub fn hand_on(self) -> HandedOn {
        HandedOn(self.serving)
    }
}

impl HandedOn {
    /// Waits until nobody holds the mount.
    ///
    /// # Errors
    ///
    /// [`MountError::Session`] if serving ended otherwise.
    pub async fn wait(&mut self) -> Result<(), MountError> {
        self.0.ended().await.map_err(|source| MountError::Session { source })
    }
}
