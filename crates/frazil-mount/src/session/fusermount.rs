//! Mounting as an ordinary user, through the set-user-id program `fusermount3` of Debian's `fuse3`.
//!
//! It mounts and sends the opened device back over a socket whose number it finds in `_FUSE_COMMFD` (the
//! protocol of libfuse). Who may mount what is its decision, by `/etc/fuse.conf`.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};

use super::SUBTYPE;
use crate::reader::READ_LEN_MAX;
use crate::{MountError, passing};

/// The program, found in `PATH`.
pub(crate) const FUSERMOUNT: &str = "fusermount3";

/// Mounts at `dir`, showing `source`, and gives the device to serve.
pub(crate) fn mount_with_fusermount(source: &str, dir: &Path) -> Result<OwnedFd, MountError> {
    let step = |source| MountError::Kernel { step: "talk to fusermount3", source };
    let (theirs, ours) = UnixStream::pair().map_err(step)?;
    // The one descriptor that is meant to survive the exec.
    fcntl_setfd(theirs.as_fd(), FdFlags::empty()).map_err(|error| step(error.into()))?;
    let program = Command::new(FUSERMOUNT)
        .arg("-o")
        .arg(options(source))
        .arg("--")
        .arg(dir)
        .env("_FUSE_COMMFD", theirs.as_raw_fd().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| MountError::NoFusermount { source })?;
    drop(theirs);
    let device = passing::receive(&ours);
    let output = program.wait_with_output().map_err(step)?;
    match device {
        Ok(device) if output.status.success() => Ok(device),
        _ => {
            let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(MountError::Fusermount { message })
        }
    }
}

fn options(source: &str) -> String {
    // A comma would end the option, a backslash is fusermount3's escape.
    let source = source.replace('\\', "\\\\").replace(',', "\\,");
    format!("ro,nosuid,nodev,default_permissions,max_read={READ_LEN_MAX},subtype={SUBTYPE},fsname={source}")
}
