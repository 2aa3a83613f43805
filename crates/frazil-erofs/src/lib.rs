//! EROFS on disk: write a metadata area, read it back; pure, no I/O.
//!
//! An image's address space is `| metadata area | data area |`, both in blocks of 4 KiB. [`write()`] turns a
//! [`Tree`] into the metadata area: superblock, inodes, directories, symlink targets and xattrs. Regular
//! files are plain contiguous extents into the data area, whose bytes this crate never sees. [`Image`]
//! reads any such image back through a [`ReadAt`] of the caller.
//!
//! The invariant: the same tree and parameters give the same bytes, and any bytes at all given to the
//! reader give a value or an error, never a panic, an endless loop or an allocation that the image's
//! real size does not justify.
//!
//! The format is specified by the Linux kernel: `fs/erofs/erofs_fs.h` and
//! `Documentation/filesystems/erofs.rst`. `layout.rs` holds the part of it that is used here.

mod crc32c;
mod error;
mod layout;
mod reader;
mod tree;
mod types;
mod writer;
mod xattr_name;

pub use error::ErofsError;
pub use layout::BLOCK_SIZE;
pub use reader::{
    DirCookie, DirEntry, DiskInode, Entries, Extents, Image, OutOfRange, ReadAt, ReadError, Superblock, Walk,
    WalkEntry, WalkLimits,
};
pub use tree::{DataAddress, Inode, InodeIndex, InodeKind, Tree, Xattrs};
pub use types::{DeviceNumber, FileType, Nid, Timestamp};
pub use writer::{Metadata, Params, write};
pub use xattr_name::{XATTR_BODY_MAX, XATTR_VALUE_MAX, xattr_is_representable};
