//! What a tree must satisfy to be written, for one inode or one name at a time.

use crate::error::ErofsError;
use crate::layout::{BLOCK_BYTES, NAME_MAX, SYMLINK_MAX};
use crate::tree::{DataAddress, Inode, InodeIndex, InodeKind};
use crate::types::DeviceNumber;

const MODE_MASK: u16 = 0o7777;

pub(super) fn name(directory: InodeIndex, name: &[u8]) -> Result<(), ErofsError> {
    let reserved = matches!(name, b"" | b"." | b"..");
    if reserved || name.len() > NAME_MAX || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
        return Err(ErofsError::InvalidName { directory, name: name.to_vec() });
    }
    Ok(())
}

pub(super) fn inode(index: InodeIndex, inode: &Inode, data_blocks: u64) -> Result<(), ErofsError> {
    if inode.mode & !MODE_MASK != 0 {
        return Err(ErofsError::InvalidMode { inode: index, mode: inode.mode });
    }
    if !inode.mtime.is_valid() {
        return Err(ErofsError::InvalidTimestamp { inode: index, nanos: inode.mtime.nanos });
    }
    match &inode.kind {
        InodeKind::File { size, data } => file(index, *size, *data, data_blocks),
        InodeKind::Symlink(target) => symlink(index, target),
        InodeKind::CharDevice { major, minor } | InodeKind::BlockDevice { major, minor } => {
            device(index, *major, *minor).map(drop)
        }
        InodeKind::Directory(_) | InodeKind::Fifo | InodeKind::Socket => Ok(()),
    }
}

/// The packed device number, if it can be packed.
pub(super) fn device(inode: InodeIndex, major: u32, minor: u32) -> Result<u32, ErofsError> {
    let device = DeviceNumber { major, minor };
    device.encode().ok_or(ErofsError::DeviceNumberTooLarge { inode, major, minor })
}

fn symlink(inode: InodeIndex, target: &[u8]) -> Result<(), ErofsError> {
    if target.is_empty() || target.len() > SYMLINK_MAX || target.contains(&0) {
        return Err(ErofsError::InvalidSymlink { inode, len: target.len() });
    }
    Ok(())
}

fn file(inode: InodeIndex, size: u64, data: DataAddress, data_blocks: u64) -> Result<(), ErofsError> {
    let end = data.0.checked_add(size.div_ceil(BLOCK_BYTES));
    if size > 0 && end.is_none_or(|end| end > data_blocks) {
        return Err(ErofsError::DataOutOfRange { inode, block: data.0, size, data_blocks });
    }
    Ok(())
}
