//! The tree that is to be written: an arena of inodes, of which directories name others.
//!
//! The arena keeps deep trees from recursing and makes hard links plain: several names with one index. The
//! tree is checked when it is written, not while it is built; inodes that nothing names are not written.

use std::collections::BTreeMap;

use crate::types::{FileType, Timestamp};

/// An inode's place in the arena of its [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeIndex(pub u32);

impl InodeIndex {
    pub(crate) fn get(self) -> usize {
        self.0 as usize
    }
}

impl std::fmt::Display for InodeIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a file's data starts: a block number of 4 KiB blocks, relative to the first block after the
/// metadata area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataAddress(pub u64);

/// Extended attributes: full names (such as `user.mime_type`) with their values, sorted by name.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// A file of any type, without its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// What it is and what it holds.
    pub kind: InodeKind,
    /// Permissions, set-id and sticky bits: 07777 at most.
    pub mode: u16,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Last modification.
    pub mtime: Timestamp,
    /// Extended attributes, sorted by name, without duplicates.
    pub xattrs: Xattrs,
}

/// What an inode is and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InodeKind {
    /// A directory: its names without `.` and `..`, each 1 to 255 bytes, any but `/` and NUL.
    Directory(BTreeMap<Vec<u8>, InodeIndex>),
    /// A regular file of `size` bytes, contiguous from `data`; an empty file's address does not matter.
    File {
        /// Bytes.
        size: u64,
        /// First block.
        data: DataAddress,
    },
    /// A symbolic link to a target of 1 to 4,095 bytes, any but NUL.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// Below 4,096.
        major: u32,
        /// Below 1,048,576.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Below 4,096.
        major: u32,
        /// Below 1,048,576.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
}

impl InodeKind {
    /// The type of file that this is.
    pub fn file_type(&self) -> FileType {
        match self {
            Self::Directory(_) => FileType::Directory,
            Self::File { .. } => FileType::Regular,
            Self::Symlink(_) => FileType::Symlink,
            Self::CharDevice { .. } => FileType::CharDevice,
            Self::BlockDevice { .. } => FileType::BlockDevice,
            Self::Fifo => FileType::Fifo,
            Self::Socket => FileType::Socket,
        }
    }
}

/// An arena of inodes; the first one is the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    inodes: Vec<Inode>,
}

impl Tree {
    /// The root of every tree.
    pub const ROOT: InodeIndex = InodeIndex(0);

    /// A tree of one inode, which must be a directory when the tree is written.
    pub fn new(root: Inode) -> Self {
        Self { inodes: vec![root] }
    }

    /// Adds an inode that nothing names yet. An index past 2³² inodes saturates, and the tree is then
    /// refused when it is written.
    pub fn push(&mut self, inode: Inode) -> InodeIndex {
        let index = InodeIndex(u32::try_from(self.inodes.len()).unwrap_or(u32::MAX));
        self.inodes.push(inode);
        index
    }

    /// The inode at an index.
    pub fn get(&self, index: InodeIndex) -> Option<&Inode> {
        self.inodes.get(index.get())
    }

    /// The inode at an index, to be changed.
    pub fn get_mut(&mut self, index: InodeIndex) -> Option<&mut Inode> {
        self.inodes.get_mut(index.get())
    }

    /// Names `child` in `directory`, and gives back what the name stood for before. Does nothing if
    /// `directory` is not a directory.
    pub fn link(&mut self, directory: InodeIndex, name: Vec<u8>, child: InodeIndex) -> Option<InodeIndex> {
        match &mut self.get_mut(directory)?.kind {
            InodeKind::Directory(names) => names.insert(name, child),
            _ => None,
        }
    }

    /// Inodes in the arena, named or not; never 0.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.inodes.len()
    }
}
