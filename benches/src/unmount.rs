//! A mount that a measurement made, which does not outlive it.

use std::path::PathBuf;
use std::process::Command;

use crate::measure::measure;

/// Unmounts this directory when it is dropped.
pub(crate) struct Unmount(pub(crate) PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        if let Err(error) = measure(Command::new("umount").arg(&self.0)) {
            eprintln!("cannot unmount {}: {error:#}", self.0.display());
        }
    }
}
