//! The two faces of an image.

use std::fmt;
use std::str::FromStr;

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
