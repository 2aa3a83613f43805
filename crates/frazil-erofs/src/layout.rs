//! The on-disk structures, byte for byte: what the kernel's `fs/erofs/erofs_fs.h` specifies, little-endian.
//!
//! Only the part that is written or read here: flat inodes (with and without an inline tail), directories,
//! inline and shared xattrs. Sizes are checked at compile time.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes in a block, of metadata and of data alike.
pub const BLOCK_SIZE: usize = 4096;
/// [`BLOCK_SIZE`] as a power of two.
pub(crate) const BLOCK_SIZE_BITS: u8 = 12;
/// [`BLOCK_SIZE`] for arithmetic on offsets.
pub(crate) const BLOCK_BYTES: u64 = BLOCK_SIZE as u64;

/// Where the superblock starts; the bytes before it are left to boot sectors.
pub(crate) const SUPERBLOCK_OFFSET: usize = 1024;
pub(crate) const SUPERBLOCK_SIZE: usize = size_of::<RawSuperblock>();
pub(crate) const SUPERBLOCK_MAGIC: u32 = 0xe0f5_e1e2;

/// The superblock carries a CRC-32C over the rest of its block.
pub(crate) const COMPAT_SB_CHECKSUM: u32 = 0x1;
/// Inode times are modification times (they were change times once).
pub(crate) const COMPAT_MTIME: u32 = 0x2;
/// Incompatible features that leave flat inodes readable: LZ4 zero padding, compression configurations,
/// chunk-based files. Inodes that use them are refused one by one.
pub(crate) const INCOMPAT_READABLE: u32 = 0x7;

/// The unit in which a nid counts.
pub(crate) const INODE_SLOT_BYTES: u64 = 32;
pub(crate) const COMPACT_INODE_SIZE: usize = size_of::<RawCompactInode>();
pub(crate) const INODE_SIZE: usize = size_of::<RawInode>();
pub(crate) const DIRENT_SIZE: usize = size_of::<RawDirent>();
pub(crate) const XATTR_HEADER_SIZE: usize = size_of::<RawXattrHeader>();
pub(crate) const XATTR_ENTRY_SIZE: usize = size_of::<RawXattrEntry>();
/// Xattr entries start on multiples of this, and the inode counts them in it.
pub(crate) const XATTR_ALIGN: usize = 4;

/// Bit 0 of an inode's format: the 64-byte form.
pub(crate) const FORMAT_EXTENDED: u16 = 0x1;
/// Bits 1 to 3 of an inode's format: the data layout.
pub(crate) const FORMAT_LAYOUT_SHIFT: u16 = 1;
pub(crate) const FORMAT_LAYOUT_MASK: u16 = 0x7;
/// All bits of an inode's format that have a meaning here.
pub(crate) const FORMAT_KNOWN: u16 = 0xf;
/// All data in whole blocks.
pub(crate) const LAYOUT_FLAT_PLAIN: u16 = 0;
/// All but the last block's data in whole blocks; the last right behind the inode and its xattrs.
pub(crate) const LAYOUT_FLAT_INLINE: u16 = 2;

/// The longest file name, in bytes.
pub(crate) const NAME_MAX: usize = 255;
/// The longest symlink target, in bytes: the kernel's `PATH_MAX` less its terminator.
pub(crate) const SYMLINK_MAX: usize = 4095;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawSuperblock {
    pub(crate) magic: U32,
    pub(crate) checksum: U32,
    pub(crate) feature_compat: U32,
    pub(crate) block_size_bits: u8,
    pub(crate) extension_slots: u8,
    pub(crate) root_nid: U16,
    pub(crate) inode_count: U64,
    pub(crate) build_time: U64,
    pub(crate) build_time_nanos: U32,
    pub(crate) block_count: U32,
    pub(crate) meta_block: U32,
    pub(crate) xattr_block: U32,
    pub(crate) uuid: [u8; 16],
    pub(crate) volume_name: [u8; 16],
    pub(crate) feature_incompat: U32,
    pub(crate) compression: U16,
    pub(crate) extra_devices: U16,
    pub(crate) device_table_slot: U16,
    pub(crate) directory_block_bits: u8,
    pub(crate) xattr_prefix_count: u8,
    pub(crate) xattr_prefix_start: U32,
    pub(crate) packed_nid: U64,
    pub(crate) reserved: [u8; 24],
}

/// The 64-byte inode, the only one that is written.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawInode {
    pub(crate) format: U16,
    pub(crate) xattr_count: U16,
    pub(crate) mode: U16,
    pub(crate) reserved: U16,
    pub(crate) size: U64,
    /// First data block, or device number.
    pub(crate) address: U32,
    /// Only for 32-bit `stat`.
    pub(crate) ino: U32,
    pub(crate) uid: U32,
    pub(crate) gid: U32,
    pub(crate) mtime: U64,
    pub(crate) mtime_nanos: U32,
    pub(crate) nlink: U32,
    pub(crate) reserved2: [u8; 16],
}

/// The 32-byte inode, which has the superblock's build time as its time.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawCompactInode {
    pub(crate) format: U16,
    pub(crate) xattr_count: U16,
    pub(crate) mode: U16,
    pub(crate) nlink: U16,
    pub(crate) size: U32,
    pub(crate) reserved: U32,
    pub(crate) address: U32,
    pub(crate) ino: U32,
    pub(crate) uid: U16,
    pub(crate) gid: U16,
    pub(crate) reserved2: U32,
}

/// Dirents fill a block from its start, their names follow; a name ends where the next begins.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawDirent {
    pub(crate) nid: U64,
    /// From the block's start; the first one also says how many dirents there are.
    pub(crate) name_offset: U16,
    pub(crate) file_type: u8,
    pub(crate) reserved: u8,
}

/// Opens the xattr body behind an inode; the ids of shared xattrs follow, then the inline entries.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawXattrHeader {
    pub(crate) name_filter: U32,
    pub(crate) shared_count: u8,
    pub(crate) reserved: [u8; 7],
}

/// One xattr; its name (less the indexed prefix) and value follow.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RawXattrEntry {
    pub(crate) name_len: u8,
    pub(crate) name_index: u8,
    pub(crate) value_len: U16,
}

const _: () = {
    assert!(1 << BLOCK_SIZE_BITS == BLOCK_SIZE);
    assert!(SUPERBLOCK_SIZE == 128);
    assert!(INODE_SIZE == 64);
    assert!(COMPACT_INODE_SIZE == 32);
    assert!(DIRENT_SIZE == 12);
    assert!(XATTR_HEADER_SIZE == 12);
    assert!(XATTR_ENTRY_SIZE == 4);
};
