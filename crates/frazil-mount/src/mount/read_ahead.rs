//! The kernel's read-ahead on a mount: 128 KiB by default, too little for a file system whose requests may carry
//! 1 MiB and whose chunks have to be fetched.

use std::path::Path;

use super::mountinfo::mount_at;

/// As much as one request can carry.
const READ_AHEAD_KIB: usize = crate::reader::READ_LEN_MAX >> 10;

/// Raises the read-ahead of the mount at a directory, where this user may.
pub(super) fn raise(dir: &Path) {
    let Ok(Some(mount)) = mount_at(dir) else { return };
    let path = format!("/sys/class/bdi/{}/read_ahead_kb", mount.device);
    if let Err(error) = std::fs::write(&path, READ_AHEAD_KIB.to_string()) {
        tracing::debug!(path, %error, "the kernel's read-ahead stays as it is");
    }
}
