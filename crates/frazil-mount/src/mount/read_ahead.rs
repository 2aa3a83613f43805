//! The kernel's read-ahead on a mount of the tree face: 128 KiB by default, too little for a file system whose requests
//! may carry 1 MiB and whose chunks have to be fetched.
//!
//! EROFS keeps the default: /sys knows its mounts by a number that nothing else says, and with 512 KiB or 1 MiB files
//! are read no faster from front to back, only 512 KiB at random places by a tenth.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{major, minor};

/// As much as one request can carry.
const READ_AHEAD_KIB: usize = crate::reader::READ_LEN_MAX >> 10;

/// Raises the read-ahead of the mount whose root this is, where this user may.
pub(super) fn raise(dir: &Path) {
    let Ok(device) = dir.metadata().map(|root| root.dev()) else { return };
    let path = format!("/sys/class/bdi/{}:{}/read_ahead_kb", major(device), minor(device));
    if let Err(error) = std::fs::write(&path, READ_AHEAD_KIB.to_string()) {
        tracing::debug!(path, %error, "the kernel's read-ahead stays as it is");
    }
}
