//! `--via`: which face shows an image.

use clap::ValueEnum;
use frazil_mount::{Face, FaceChoice};

use crate::config::Value;

/// What was asked for.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Via {
    /// A FUSE file system of frazil's own; any kernel, any user
    Tree,
    /// The kernel's EROFS on a block image that frazil serves; root only
    Erofs,
    /// EROFS where it works, found out by trying
    Auto,
}

impl Value for Via {
    const FORM: &'static str = "tree, erofs or auto";

    fn parse(text: &str) -> Result<Self, String> {
        Self::from_str(text, false).map_err(|_| format!("expected {}", Self::FORM))
    }
}

impl Via {
    /// What a mount is asked for.
    pub(crate) fn face(self) -> FaceChoice {
        match self {
            Self::Tree => FaceChoice::Just(Face::Tree),
            Self::Erofs => FaceChoice::Just(Face::Erofs),
            Self::Auto => FaceChoice::Best,
        }
    }

    /// The word on the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Erofs => "erofs",
            Self::Auto => "auto",
        }
    }
}
