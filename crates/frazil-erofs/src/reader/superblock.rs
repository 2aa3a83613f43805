//! The superblock, taken apart and checked.

use zerocopy::FromBytes;

use crate::crc32c::crc32c;
use crate::error::ErofsError;
use crate::layout::{
    BLOCK_BYTES, BLOCK_SIZE, BLOCK_SIZE_BITS, COMPAT_SB_CHECKSUM, INCOMPAT_READABLE, INODE_SLOT_BYTES,
    RawSuperblock, SUPERBLOCK_MAGIC, SUPERBLOCK_OFFSET,
};
use crate::types::{Nid, Timestamp};

/// Where the checksum stands in the superblock, after the magic number.
const CHECKSUM_FIELD: std::ops::Range<usize> = 4..8;

/// What a superblock says, in plain values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// The root directory.
    pub root: Nid,
    /// Inodes in the image.
    pub inode_count: u64,
    /// Blocks of 4 KiB in the image, metadata and data.
    pub block_count: u32,
    /// The image's identity.
    pub uuid: [u8; 16],
    /// The time of inodes in the 32-byte form, which carry none of their own.
    pub build_time: Timestamp,
    /// The block from which nids count.
    pub(crate) meta_block: u32,
    /// The block from which ids of shared xattrs count.
    pub(crate) xattr_block: u32,
}

impl Superblock {
    /// Takes apart the superblock in an image's first block.
    pub(crate) fn parse(block: &[u8; BLOCK_SIZE]) -> Result<Self, ErofsError> {
        let truncated = ErofsError::CorruptSuperblock { reason: "it is truncated" };
        let covered = block.get(SUPERBLOCK_OFFSET..).ok_or(truncated.clone())?;
        let (raw, _) = RawSuperblock::read_from_prefix(covered).map_err(|_| truncated)?;
        if raw.magic.get() != SUPERBLOCK_MAGIC {
            return Err(ErofsError::BadMagic { found: raw.magic.get() });
        }
        if raw.block_size_bits != BLOCK_SIZE_BITS {
            return Err(ErofsError::UnsupportedBlockSize { bits: raw.block_size_bits });
        }
        check_checksum(&raw, covered)?;
        let unsupported = raw.feature_incompat.get() & !INCOMPAT_READABLE;
        if unsupported != 0 {
            return Err(ErofsError::UnsupportedFeatures { bits: unsupported });
        }
        if raw.directory_block_bits != 0 {
            return Err(ErofsError::CorruptSuperblock { reason: "directory blocks differ from blocks" });
        }
        let build_time =
            Timestamp { seconds: raw.build_time.get().cast_signed(), nanos: raw.build_time_nanos.get() };
        if !build_time.is_valid() {
            return Err(ErofsError::CorruptSuperblock { reason: "its build time is no time" });
        }
        Ok(Self {
            root: Nid(raw.root_nid.get().into()),
            inode_count: raw.inode_count.get(),
            block_count: raw.block_count.get(),
            uuid: raw.uuid,
            build_time,
            meta_block: raw.meta_block.get(),
            xattr_block: raw.xattr_block.get(),
        })
    }

    pub(crate) fn image_len(&self) -> u64 {
        u64::from(self.block_count) * BLOCK_BYTES
    }

    /// Byte offset of an inode, wherever that may be.
    pub(crate) fn inode_offset(&self, nid: Nid) -> Option<u64> {
        let base = u64::from(self.meta_block) * BLOCK_BYTES;
        nid.0.checked_mul(INODE_SLOT_BYTES)?.checked_add(base)
    }
}

/// The checksum covers its block from the superblock on, itself taken as zero.
fn check_checksum(raw: &RawSuperblock, covered: &[u8]) -> Result<(), ErofsError> {
    if raw.feature_compat.get() & COMPAT_SB_CHECKSUM == 0 {
        return Ok(());
    }
    let mut covered = covered.to_vec();
    if let Some(field) = covered.get_mut(CHECKSUM_FIELD) {
        field.fill(0);
    }
    let (stored, computed) = (raw.checksum.get(), crc32c(&covered));
    if stored == computed { Ok(()) } else { Err(ErofsError::ChecksumMismatch { stored, computed }) }
}
