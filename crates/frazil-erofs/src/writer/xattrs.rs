//! Xattrs as they stand behind their inode: a header, then each as an entry, name and value.
//!
//! All are inline. Sharing equal ones between inodes would save little: the one that images have many of,
//! `security.capability`, is 24 bytes long.

use zerocopy::IntoBytes;

use crate::error::ErofsError;
use crate::layout::{RawXattrEntry, RawXattrHeader, XATTR_ALIGN, XATTR_ENTRY_SIZE, XATTR_HEADER_SIZE};
use crate::tree::InodeIndex;
use crate::xattr_name::{XATTR_BODY_MAX, XATTR_VALUE_MAX, split};

/// Bytes that the xattrs take on disk; 0 if there are none.
pub(super) fn body_len(inode: InodeIndex, xattrs: &[(Vec<u8>, Vec<u8>)]) -> Result<usize, ErofsError> {
    if xattrs.is_empty() {
        return Ok(0);
    }
    if !xattrs.is_sorted_by(|(before, _), (after, _)| before < after) {
        return Err(ErofsError::XattrsUnsorted { inode });
    }
    let mut len = XATTR_HEADER_SIZE;
    for (name, value) in xattrs {
        let split =
            split(name).ok_or_else(|| ErofsError::XattrNotRepresentable { inode, name: name.clone() })?;
        if value.len() > XATTR_VALUE_MAX {
            return Err(ErofsError::XattrValueTooLarge { inode, name: name.clone(), len: value.len() });
        }
        len += entry_len(split.suffix, value);
    }
    if len > XATTR_BODY_MAX {
        return Err(ErofsError::XattrsTooLarge { inode, len });
    }
    Ok(len)
}

/// The inode's count of units for a body of this length.
pub(super) fn unit_count(body_len: usize) -> u16 {
    let units = match body_len.checked_sub(XATTR_HEADER_SIZE) {
        Some(entries_len) => 1 + entries_len / XATTR_ALIGN,
        None => 0,
    };
    u16::try_from(units).unwrap_or(u16::MAX)
}

/// Writes xattrs that [`body_len`] accepted into the zeroed bytes behind their inode.
pub(super) fn emit(xattrs: &[(Vec<u8>, Vec<u8>)], body: &mut [u8]) {
    if xattrs.is_empty() {
        return;
    }
    let header = RawXattrHeader { name_filter: 0.into(), shared_count: 0, reserved: [0; 7] };
    body[..XATTR_HEADER_SIZE].copy_from_slice(header.as_bytes());
    let mut at = XATTR_HEADER_SIZE;
    for (name, value) in xattrs {
        let Some(name) = split(name) else { continue };
        let entry = RawXattrEntry {
            name_len: name.suffix.len() as u8,
            name_index: name.index,
            value_len: (value.len() as u16).into(),
        };
        let mut rest = &mut body[at..];
        for part in [entry.as_bytes(), name.suffix, value] {
            let (space, behind) = rest.split_at_mut(part.len());
            space.copy_from_slice(part);
            rest = behind;
        }
        at += entry_len(name.suffix, value);
    }
}

fn entry_len(suffix: &[u8], value: &[u8]) -> usize {
    (XATTR_ENTRY_SIZE + suffix.len() + value.len()).next_multiple_of(XATTR_ALIGN)
}
