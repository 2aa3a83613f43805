//! Why an image could not be mounted or unmounted.

use std::io;
use std::path::PathBuf;

use crate::{ImageError, ReadError};

/// Why an image could not be mounted, unmounted or exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// There is nothing at the path.
    #[error("{} does not exist", dir.display())]
    NoDirectory {
        /// The path.
        dir: PathBuf,
    },
    /// There is something else than a directory at the path.
    #[error("{} is not a directory", dir.display())]
    NotADirectory {
        /// The path.
        dir: PathBuf,
    },
    /// The directory holds files, which a mount would hide.
    #[error("{} is not empty", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// Something is mounted there already.
    #[error("something is mounted at {} already ({source_name}, {fs_type})", dir.display())]
    MountedAlready {
        /// The directory.
        dir: PathBuf,
        /// The type in /proc/mounts.
        fs_type: String,
        /// The source in /proc/mounts.
        source_name: String,
    },
    /// The directory cannot be looked at.
    #[error("cannot look at {}", dir.display())]
    Unreadable {
        /// The directory.
        dir: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A step of mounting failed.
    #[error("cannot {step}")]
    Kernel {
        /// The step, as a verb.
        step: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// The program that ordinary users mount with is missing.
    #[error("cannot run fusermount3, which ordinary users mount with (Debian: apt install fuse3)")]
    NoFusermount {
        /// What the operating system says.
        source: io::Error,
    },
    /// The program that ordinary users mount with refused.
    #[error("fusermount3 refused: {message}")]
    Fusermount {
        /// What it said.
        message: String,
    },
    /// The tree is mounted but cannot be read, so it was unmounted again.
    #[error("the mounted tree cannot be read")]
    NotReadable {
        /// What the first look at it gave.
        source: io::Error,
    },
    /// The image's metadata could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The manifest contradicts itself.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Nothing is mounted there.
    #[error("nothing is mounted at {}", dir.display())]
    NotMounted {
        /// The directory.
        dir: PathBuf,
    },
    /// What is mounted there is somebody else's.
    #[error("{} is not a Frazil mount ({source_name}, {fs_type})", dir.display())]
    NotOurs {
        /// The directory.
        dir: PathBuf,
        /// The type in /proc/mounts.
        fs_type: String,
        /// The source in /proc/mounts.
        source_name: String,
    },
    /// A process uses the mount, or something is mounted inside it.
    #[error("{} is in use{}", dir.display(), in_use_by(.holders))]
    Busy {
        /// The directory.
        dir: PathBuf,
        /// What uses it, as far as can be seen: `name (pid)`, `the mount DIR`.
        holders: Vec<String>,
    },
    /// The export's file could not be written.
    #[error("cannot write the block image")]
    Export {
        /// What the operating system says.
        source: io::Error,
    },
    /// The session ended with an error.
    #[error("the FUSE session failed")]
    Session {
        /// What went wrong.
        source: std::sync::Arc<io::Error>,
    },
}

fn in_use_by(holders: &[String]) -> String {
    if holders.is_empty() { String::new() } else { format!(" by {}", holders.join(", ")) }
}
