//! The layer index: everything that was learnt of one OCI layer when it was cut and sealed, so that it never
//! has to be downloaded or decompressed again. It depends on nothing but the layer's diff id, the cutting
//! parameters, the scope and the root.

mod body;
mod bytes;
mod check;

#[cfg(test)]
pub(crate) use body::encode as encode_body;

use crate::{ChunkId, ChunkKey, DiffId};

/// The size of the blocks that files start on in a layer stream, and of the blocks of an image, in bytes.
pub const BLOCK_SIZE: u64 = 4096;

/// Everything that is known of one layer.
#[derive(Clone, PartialEq, Debug)]
pub struct LayerIndex {
    /// The layer.
    pub diff_id: DiffId,
    /// The length of the uncompressed tar archive, in bytes.
    pub tar_len: u64,
    /// The length of the layer stream, in bytes; a multiple of [`BLOCK_SIZE`].
    pub stream_len: u64,
    /// The layer's entries, in tar order.
    pub entries: Vec<Entry>,
    /// The chunks of the layer stream, sorted by offset. What lies between them is zero.
    pub chunks: Vec<StreamChunk>,
}

/// One chunk of a layer stream or of a metadata area.
#[derive(Clone, PartialEq, Debug)]
pub struct StreamChunk {
    /// Where the chunk starts in its stream, in bytes.
    pub offset: u64,
    /// The length of the chunk, in bytes.
    pub len: u32,
    /// The length of the sealed chunk, in bytes.
    pub sealed_len: u32,
    /// The sealed chunk's name.
    pub id: ChunkId,
    /// What opens it.
    pub key: ChunkKey,
}

/// One entry of a layer, as its tar archive says it.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// The path from the image's root: lexically cleaned, without `.`, `..`, a leading or a trailing slash; the
    /// root itself is the empty path. Not yet resolved through symbolic links.
    pub path: Vec<u8>,
    /// What the entry is.
    pub kind: EntryKind,
}

/// What an entry of a layer is.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum EntryKind {
    /// Something with attributes of its own.
    Inode(Attributes, Content),
    /// Another name of an existing file; the target is a cleaned path like [`Entry::path`].
    Hardlink(Vec<u8>),
    /// The path does not exist from this layer on.
    Whiteout,
    /// What lower layers put into this directory does not exist from this layer on.
    Opaque,
}

/// What an inode holds.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum Content {
    /// A directory.
    Directory,
    /// A regular file of `len` bytes that starts `offset` bytes into the layer stream, on a block.
    File {
        /// A multiple of [`BLOCK_SIZE`], in bytes.
        offset: u64,
        /// The file's size in bytes.
        len: u64,
    },
    /// A symbolic link and where it points.
    Symlink(Vec<u8>),
    /// A character device.
    CharDevice {
        /// The device's major number.
        major: u32,
        /// The device's minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// The device's major number.
        major: u32,
        /// The device's minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// The attributes of an inode.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Attributes {
    /// Permissions, set-user-id, set-group-id and sticky bits: `0o7777` at the most.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When the content last changed: seconds since the epoch.
    pub mtime_seconds: i64,
    /// The nanoseconds of that second, below 1,000,000,000.
    pub mtime_nanos: u32,
    /// Extended attributes by their whole name (`user.x`, `security.capability`), sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}
