//! Why layers do not fit onto each other.

use frazil_format::DiffId;

/// A layer's entry that cannot be applied to the layers below it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("layer {layer} (sha256:{diff_id}), '{}': {reason}", path.escape_ascii())]
pub struct FlattenError {
    /// The layer's position, from 0 at the bottom.
    pub layer: usize,
    /// The layer.
    pub diff_id: DiffId,
    /// The entry's path.
    pub path: Vec<u8>,
    /// What is wrong with it.
    pub reason: Misfit,
}

/// How an entry can fail to fit with the others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// Symbolic links in its path go round in circles, or on and on.
    #[error("its path goes through more than {limit} symbolic links")]
    TooManyLinks {
        /// The most that are followed.
        limit: usize,
    },
    /// A part of its path is a file.
    #[error("its path goes through something that is not a directory")]
    NotADirectory,
    /// A symbolic link leads it to a name that no file system could hold.
    #[error("its path goes through a symbolic link with a name of more than 255 bytes")]
    NameTooLong,
    /// The root cannot be a link.
    #[error("the root of an image is a directory")]
    RootReplaced,
    /// A hard link's target is not there, or not any more.
    #[error("it is a hard link to '{}', which does not exist", target.escape_ascii())]
    HardlinkToNothing {
        /// The target.
        target: Vec<u8>,
    },
    /// A hard link's target is a directory.
    #[error("it is a hard link to '{}', which is a directory", target.escape_ascii())]
    HardlinkToDirectory {
        /// The target.
        target: Vec<u8>,
    },
    /// A hard link's target is the link.
    #[error("it is a hard link to itself")]
    HardlinkToItself,
    /// More inodes than can be numbered.
    #[error("there are more than 2^32 inodes")]
    TooManyInodes,
    /// A directory so deep that no path names it.
    #[error("a directory on its way would have a path of more than {limit} bytes")]
    TooDeep {
        /// The longest path in bytes.
        limit: usize,
    },
    /// Too many directories that no entry describes.
    #[error("the image has more than {limit} directories that no layer describes")]
    TooManyImplied {
        /// The most of them.
        limit: u64,
    },
    /// The tree takes too much memory.
    #[error("the files and directories of the image take more than {limit} bytes of memory")]
    TreeTooLarge {
        /// The bound in bytes, by an estimate.
        limit: u64,
    },
    /// The paths of a layer take too long to follow.
    #[error("the paths of the layer go through more than {limit} names, symbolic links followed")]
    TooManySteps {
        /// The most names.
        limit: u64,
    },
}
