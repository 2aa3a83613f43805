//! The two faces of an image, and which of them it gets.

use std::fmt;
use std::str::FromStr;

use crate::MountError;
use crate::block::Backing;
use crate::session::errno_of;

/// How an image is shown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Face {
    /// A path-level FUSE file system; any kernel, any user.
    Tree,
    /// The kernel's EROFS on a FUSE-served block image; root only.
    Erofs,
}

impl fmt::Display for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tree => "tree",
            Self::Erofs => "erofs",
        })
    }
}

/// Which face an image is to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaceChoice {
    /// This one, or none.
    Just(Face),
    /// EROFS where it works, found out by mounting it; the tree elsewhere.
    Best,
}

impl FaceChoice {
    /// The tree as the face that is shown, where EROFS was not asked for or does not work.
    pub(super) fn without_erofs(self, why: &MountError) -> Shown {
        match self {
            Self::Just(_) => Shown::as_asked(Face::Tree),
            Self::Best => Shown::by_the_tree(why),
        }
    }
}

/// The face that an image has got.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Which one.
    pub face: Face,
    /// Why, in words.
    pub reason: String,
}

impl Shown {
    pub(super) fn as_asked(face: Face) -> Self {
        Self { face, reason: "asked for".to_owned() }
    }

    pub(super) fn by_erofs(backing: Backing) -> Self {
        let reason = match backing {
            Backing::FileDirect => "the kernel mounts EROFS from a file",
            Backing::File => "the kernel mounts EROFS from a file, though without direct I/O",
            Backing::Loop => "the kernel mounts EROFS from a loop device",
        };
        Self { face: Face::Erofs, reason: reason.to_owned() }
    }

    fn by_the_tree(why_not_erofs: &MountError) -> Self {
        let reason = match why_not_erofs {
            MountError::Kernel { step, source } => match errno_of(source) {
                Some(libc::EPERM | libc::EACCES) => "EROFS can be mounted by root alone".to_owned(),
                Some(libc::ENODEV) => "this kernel has no EROFS".to_owned(),
                _ => format!("EROFS does not work here: cannot {step}: {source}"),
            },
            error => format!("EROFS does not work here: {error}"),
        };
        Self { face: Face::Tree, reason }
    }
}

/// A text that names no face.
#[derive(Debug, thiserror::Error)]
#[error("not a face: {0:?} (tree or erofs)")]
pub struct NotAFace(String);

impl FromStr for Face {
    type Err = NotAFace;

    fn from_str(text: &str) -> Result<Self, NotAFace> {
        match text {
            "tree" => Ok(Self::Tree),
            "erofs" => Ok(Self::Erofs),
            _ => Err(NotAFace(text.to_owned())),
        }
    }
}
