//! Everything that can be wrong with a tree to be written or with an image that is read.
//!
//! Writer errors name the inode by its index in the tree, reader errors by its nid.

use crate::tree::InodeIndex;
use crate::types::Nid;

/// Why a tree cannot be written or an image cannot be read.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErofsError {
    /// The tree's root is not a directory.
    #[error("the root of the tree is not a directory")]
    RootNotDirectory,
    /// The arena has outgrown its indexes.
    #[error("a tree of {inodes} inodes is too large")]
    TooManyInodes {
        /// Inodes in the arena.
        inodes: usize,
    },
    /// A directory names an inode that is not in the tree.
    #[error("directory {directory} names inode {inode}, which is not in the tree")]
    NoSuchInode {
        /// The directory.
        directory: InodeIndex,
        /// What it names.
        inode: InodeIndex,
    },
    /// A directory has two names, or contains itself.
    #[error("directory {inode} has more than one parent")]
    DirectoryLinkedTwice {
        /// The directory.
        inode: InodeIndex,
    },
    /// A file name that no file system could hold.
    #[error("directory {directory} holds the invalid name \"{}\"", name.escape_ascii())]
    InvalidName {
        /// The directory.
        directory: InodeIndex,
        /// The name.
        name: Vec<u8>,
    },
    /// A mode with bits other than 07777.
    #[error("inode {inode} has the invalid mode {mode:#o}")]
    InvalidMode {
        /// The inode.
        inode: InodeIndex,
        /// The mode.
        mode: u16,
    },
    /// Nanoseconds that make a second or more.
    #[error("inode {inode} has a modification time with {nanos} nanoseconds")]
    InvalidTimestamp {
        /// The inode.
        inode: InodeIndex,
        /// The nanoseconds.
        nanos: u32,
    },
    /// A symlink target that is empty, too long or contains a NUL.
    #[error("inode {inode} has an invalid symlink target of {len} bytes")]
    InvalidSymlink {
        /// The inode.
        inode: InodeIndex,
        /// Bytes in the target.
        len: usize,
    },
    /// A device number that does not fit its 32-bit packing.
    #[error("inode {inode} has the device number {major}:{minor}, which is too large")]
    DeviceNumberTooLarge {
        /// The inode.
        inode: InodeIndex,
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// An xattr whose name has no prefix that EROFS knows; see
    /// [`xattr_is_representable`](crate::xattr_is_representable).
    #[error("inode {inode} has the xattr \"{}\", which EROFS cannot carry", name.escape_ascii())]
    XattrNotRepresentable {
        /// The inode.
        inode: InodeIndex,
        /// The xattr's full name.
        name: Vec<u8>,
    },
    /// An xattr value above [`XATTR_VALUE_MAX`](crate::XATTR_VALUE_MAX).
    #[error("inode {inode} has the xattr \"{}\" with a value of {len} bytes, which is too large", name.escape_ascii())]
    XattrValueTooLarge {
        /// The inode.
        inode: InodeIndex,
        /// The xattr's full name.
        name: Vec<u8>,
        /// Bytes in the value.
        len: usize,
    },
    /// Xattrs that together are above [`XATTR_BODY_MAX`](crate::XATTR_BODY_MAX).
    #[error("inode {inode} has {len} bytes of xattrs, which is too much")]
    XattrsTooLarge {
        /// The inode.
        inode: InodeIndex,
        /// Bytes that they would take on disk.
        len: usize,
    },
    /// Xattrs that are not sorted by name, or have a name twice.
    #[error("inode {inode} has xattrs that are not sorted by name or not unique")]
    XattrsUnsorted {
        /// The inode.
        inode: InodeIndex,
    },
    /// A file's data lies outside the data area.
    #[error(
        "inode {inode} has {size} bytes at data block {block}, beyond the {data_blocks} blocks of the data area"
    )]
    DataOutOfRange {
        /// The inode.
        inode: InodeIndex,
        /// First block, relative to the data area.
        block: u64,
        /// Bytes.
        size: u64,
        /// Blocks in the data area.
        data_blocks: u64,
    },
    /// Metadata and data together exceed 2³² blocks (16 TiB).
    #[error("an image of {blocks} blocks is too large")]
    ImageTooLarge {
        /// Blocks of metadata and data, as far as they were counted.
        blocks: u64,
    },

    /// The image does not start with an EROFS superblock.
    #[error("magic number {found:#010x} is not that of EROFS")]
    BadMagic {
        /// What stands in its place.
        found: u32,
    },
    /// The superblock's block is damaged.
    #[error("superblock checksum is {stored:#010x} but should be {computed:#010x}")]
    ChecksumMismatch {
        /// In the superblock.
        stored: u32,
        /// Of the bytes.
        computed: u32,
    },
    /// A block size other than 4 KiB.
    #[error("block size 2^{bits} is not supported")]
    UnsupportedBlockSize {
        /// The block size as a power of two.
        bits: u8,
    },
    /// The image needs features that this reader does not have.
    #[error("incompatible features {bits:#x} are not supported")]
    UnsupportedFeatures {
        /// The features' bits.
        bits: u32,
    },
    /// The inode's format is unknown, or its data is compressed or chunk-based.
    #[error("inode {nid} has the unsupported format {format:#x}")]
    UnsupportedInode {
        /// The inode.
        nid: Nid,
        /// Its format field.
        format: u16,
    },
    /// Something in the image points outside of it.
    #[error("{len} bytes at offset {offset} are outside the image of {image_len} bytes")]
    OutsideImage {
        /// Byte offset in the image.
        offset: u64,
        /// Bytes.
        len: u64,
        /// Bytes in the image.
        image_len: u64,
    },
    /// The superblock contradicts itself.
    #[error("corrupt superblock: {reason}")]
    CorruptSuperblock {
        /// What is wrong.
        reason: &'static str,
    },
    /// The inode contradicts itself.
    #[error("corrupt inode {nid}: {reason}")]
    CorruptInode {
        /// The inode.
        nid: Nid,
        /// What is wrong.
        reason: &'static str,
    },
    /// A directory's block contradicts itself.
    #[error("corrupt directory {nid}, block {block}: {reason}")]
    CorruptDirectory {
        /// The directory.
        nid: Nid,
        /// The block within the directory.
        block: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// An inode's xattrs contradict themselves.
    #[error("corrupt xattrs of inode {nid}: {reason}")]
    CorruptXattrs {
        /// The inode.
        nid: Nid,
        /// What is wrong.
        reason: &'static str,
    },
    /// The operation needs a directory.
    #[error("inode {nid} is not a directory")]
    NotADirectory {
        /// The inode.
        nid: Nid,
    },
    /// The operation needs a symbolic link.
    #[error("inode {nid} is not a symbolic link")]
    NotASymlink {
        /// The inode.
        nid: Nid,
    },
    /// The operation needs a regular file.
    #[error("inode {nid} is not a regular file")]
    NotARegularFile {
        /// The inode.
        nid: Nid,
    },
    /// A walk reached a directory for the second time.
    #[error("directory {nid} has more than one parent in the image")]
    DirectoryLoop {
        /// The directory.
        nid: Nid,
    },
    /// A walk went deeper than its limit.
    #[error("directory {nid} is more than {limit} levels deep")]
    TooDeep {
        /// The directory.
        nid: Nid,
        /// Levels.
        limit: usize,
    },
    /// A walk met more entries than its limit.
    #[error("the image holds more than {limit} entries")]
    TooManyEntries {
        /// Entries.
        limit: u64,
    },
}
