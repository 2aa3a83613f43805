//! An inode, taken apart and checked: from either on-disk form to one value.
//!
//! The invariant: the ranges of a [`DiskInode`] lie inside the image, and its tail inside one block. So its
//! data can be read without another check.

use std::ops::Range;

use zerocopy::FromBytes;

use super::{Image, ReadAt, ReadError, ReadResult};
use crate::error::ErofsError;
use crate::layout::{
    BLOCK_BYTES, COMPACT_INODE_SIZE, FORMAT_EXTENDED, FORMAT_KNOWN, FORMAT_LAYOUT_MASK, FORMAT_LAYOUT_SHIFT,
    INODE_SIZE, LAYOUT_FLAT_INLINE, LAYOUT_FLAT_PLAIN, RawCompactInode, RawInode, XATTR_ALIGN,
    XATTR_HEADER_SIZE,
};
use crate::types::{DeviceNumber, FileType, Nid, Timestamp};

const MODE_PERMISSIONS: u16 = 0o7777;

/// An inode of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskInode {
    /// Its number.
    pub nid: Nid,
    /// What it is.
    pub file_type: FileType,
    /// Permissions, set-id and sticky bits, without the file type.
    pub mode: u16,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Names that it has; for a directory, 2 and its subdirectories.
    pub nlink: u32,
    /// Bytes of content; 0 for devices, fifos and sockets.
    pub size: u64,
    /// Last modification.
    pub mtime: Timestamp,
    /// The device, if it is a device node.
    pub device: Option<DeviceNumber>,
    extents: Extents,
    pub(super) xattrs: Range<u64>,
}

/// Where an inode's content is: two ranges of byte offsets in the image, one after the other; either may be
/// empty. Regular files that this crate wrote have no tail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extents {
    /// The content that stands in blocks of its own.
    pub body: Range<u64>,
    /// The rest of it, inline behind the inode.
    pub tail: Range<u64>,
}

impl DiskInode {
    /// Where the content is: a regular file's data, a directory's dirents, a symlink's target.
    pub fn extents(&self) -> &Extents {
        &self.extents
    }

    /// Whether it has any xattrs; if not, asking for them reads nothing.
    pub fn has_xattrs(&self) -> bool {
        !self.xattrs.is_empty()
    }
}

/// The fields that both on-disk forms have, at their widest.
struct Fields {
    format: u16,
    xattr_count: u16,
    mode: u16,
    nlink: u32,
    size: u64,
    address: u32,
    uid: u32,
    gid: u32,
    mtime: Timestamp,
    inode_len: u64,
}

impl<R: ReadAt> Image<R> {
    /// Reads an inode.
    ///
    /// # Errors
    ///
    /// From the source; or if there is no sound inode of this number, or its data is compressed or
    /// chunk-based.
    pub fn inode(&self, nid: Nid) -> ReadResult<DiskInode, R> {
        let beyond = ErofsError::CorruptInode { nid, reason: "it is beyond any image" };
        let offset = self.superblock.inode_offset(nid).ok_or(beyond)?;
        // One read for either form; only the last 32 bytes of an image cannot hold the larger one.
        let mut bytes = [0; INODE_SIZE];
        if self.check_range(offset, INODE_SIZE as u64).is_ok() {
            self.read_exact(offset, &mut bytes)?;
            let extended = RawInode::read_from_bytes(&bytes).ok();
            if let Some(raw) = extended.filter(|raw| raw.format.get() & FORMAT_EXTENDED != 0) {
                return Ok(self.interpret(nid, offset, &extended_fields(&raw))?);
            }
        } else if let Some(compact) = bytes.get_mut(..COMPACT_INODE_SIZE) {
            self.read_exact(offset, compact)?;
        }
        let (raw, _) = RawCompactInode::read_from_prefix(&bytes)
            .map_err(|_| ErofsError::CorruptInode { nid, reason: "it is truncated" })?;
        if raw.format.get() & FORMAT_EXTENDED != 0 {
            return Err(ReadError::Image(ErofsError::CorruptInode { nid, reason: "it is truncated" }));
        }
        Ok(self.interpret(nid, offset, &self.compact_fields(&raw))?)
    }

    fn compact_fields(&self, raw: &RawCompactInode) -> Fields {
        Fields {
            format: raw.format.get(),
            xattr_count: raw.xattr_count.get(),
            mode: raw.mode.get(),
            nlink: raw.nlink.get().into(),
            size: raw.size.get().into(),
            address: raw.address.get(),
            uid: raw.uid.get().into(),
            gid: raw.gid.get().into(),
            mtime: self.superblock.build_time,
            inode_len: COMPACT_INODE_SIZE as u64,
        }
    }

    fn interpret(&self, nid: Nid, offset: u64, fields: &Fields) -> Result<DiskInode, ErofsError> {
        let corrupt = |reason| ErofsError::CorruptInode { nid, reason };
        if fields.format & !FORMAT_KNOWN != 0 {
            return Err(ErofsError::UnsupportedInode { nid, format: fields.format });
        }
        let file_type = FileType::from_mode(fields.mode).ok_or(corrupt("its mode has no file type"))?;
        if !fields.mtime.is_valid() {
            return Err(corrupt("its modification time is no time"));
        }
        let xattrs_start = offset.checked_add(fields.inode_len).ok_or(corrupt("it is beyond any image"))?;
        let xattrs_end = xattrs_start
            .checked_add(xattr_body_len(fields.xattr_count))
            .ok_or(corrupt("its xattrs are beyond any image"))?;
        self.check_range(offset, xattrs_end - offset)?;
        let mut inode = DiskInode {
            nid,
            file_type,
            mode: fields.mode & MODE_PERMISSIONS,
            uid: fields.uid,
            gid: fields.gid,
            nlink: fields.nlink,
            size: 0,
            mtime: fields.mtime,
            device: None,
            extents: Extents { body: 0..0, tail: 0..0 },
            xattrs: xattrs_start..xattrs_end,
        };
        match file_type {
            FileType::Regular | FileType::Directory | FileType::Symlink => {
                inode.size = fields.size;
                inode.extents = self.extents(nid, fields, xattrs_end)?;
            }
            FileType::CharDevice | FileType::BlockDevice => {
                inode.device = Some(DeviceNumber::decode(fields.address));
            }
            FileType::Fifo | FileType::Socket => {}
        }
        Ok(inode)
    }

    fn extents(&self, nid: Nid, fields: &Fields, inline_start: u64) -> Result<Extents, ErofsError> {
        let size = fields.size;
        let tail_len = match (fields.format >> FORMAT_LAYOUT_SHIFT) & FORMAT_LAYOUT_MASK {
            LAYOUT_FLAT_INLINE if size > 0 => (size - 1) % BLOCK_BYTES + 1,
            LAYOUT_FLAT_PLAIN | LAYOUT_FLAT_INLINE => 0,
            _ => return Err(ErofsError::UnsupportedInode { nid, format: fields.format }),
        };
        if inline_start % BLOCK_BYTES + tail_len > BLOCK_BYTES {
            return Err(ErofsError::CorruptInode { nid, reason: "its inline data crosses a block" });
        }
        let body = self.range_or_empty(u64::from(fields.address) * BLOCK_BYTES, size - tail_len)?;
        let tail = self.range_or_empty(inline_start, tail_len)?;
        Ok(Extents { body, tail })
    }

    /// A range inside the image. An empty one may claim any place, and gets none.
    fn range_or_empty(&self, start: u64, len: u64) -> Result<Range<u64>, ErofsError> {
        if len == 0 {
            return Ok(0..0);
        }
        self.check_range(start, len)?;
        Ok(start..start.saturating_add(len))
    }
}

fn extended_fields(raw: &RawInode) -> Fields {
    Fields {
        format: raw.format.get(),
        xattr_count: raw.xattr_count.get(),
        mode: raw.mode.get(),
        nlink: raw.nlink.get(),
        size: raw.size.get(),
        address: raw.address.get(),
        uid: raw.uid.get(),
        gid: raw.gid.get(),
        mtime: Timestamp { seconds: raw.mtime.get().cast_signed(), nanos: raw.mtime_nanos.get() },
        inode_len: INODE_SIZE as u64,
    }
}

/// Bytes behind the inode: none, or a header that counts as the first unit.
fn xattr_body_len(unit_count: u16) -> u64 {
    match unit_count.checked_sub(1) {
        Some(units) => XATTR_HEADER_SIZE as u64 + u64::from(units) * XATTR_ALIGN as u64,
        None => 0,
    }
}
