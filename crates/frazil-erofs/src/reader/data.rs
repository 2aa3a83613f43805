//! An inode's content: a file's data, a symlink's target.

use super::{DiskInode, Image, ReadAt, ReadError, ReadResult};
use crate::error::ErofsError;
use crate::layout::SYMLINK_MAX;
use crate::types::FileType;

impl<R: ReadAt> Image<R> {
    /// Reads a regular file's data from a byte offset on, through the source, and gives back how many bytes it
    /// had for `buf`: all of it unless the file ends before.
    ///
    /// # Errors
    ///
    /// From the source; or if the inode is not a regular file.
    pub fn read(&self, inode: &DiskInode, offset: u64, buf: &mut [u8]) -> ReadResult<usize, R> {
        if inode.file_type != FileType::Regular {
            return Err(ReadError::Image(ErofsError::NotARegularFile { nid: inode.nid }));
        }
        self.read_content(inode, offset, buf)
    }

    /// Reads a symlink's target.
    ///
    /// # Errors
    ///
    /// From the source; or if the inode is not a symlink, or its target is empty, longer than the kernel allows
    /// or contains a NUL.
    pub fn read_link(&self, inode: &DiskInode) -> ReadResult<Vec<u8>, R> {
        let nid = inode.nid;
        if inode.file_type != FileType::Symlink {
            return Err(ReadError::Image(ErofsError::NotASymlink { nid }));
        }
        let len = usize::try_from(inode.size).ok().filter(|len| (1..=SYMLINK_MAX).contains(len));
        let reason = "its symlink target is empty or too long";
        let mut target = vec![0; len.ok_or(ErofsError::CorruptInode { nid, reason })?];
        self.read_content(inode, 0, &mut target)?;
        if target.contains(&0) {
            let reason = "its symlink target contains a NUL";
            return Err(ReadError::Image(ErofsError::CorruptInode { nid, reason }));
        }
        Ok(target)
    }

    /// Reads an inode's content whatever its type.
    pub(super) fn read_content(
        &self,
        inode: &DiskInode,
        offset: u64,
        buf: &mut [u8],
    ) -> ReadResult<usize, R> {
        let extents = inode.extents();
        let mut filled = 0;
        let mut skip = offset;
        for range in [&extents.body, &extents.tail] {
            let range_len = range.end.saturating_sub(range.start);
            let available = range_len.saturating_sub(skip);
            let rest = buf.get_mut(filled..).unwrap_or_default();
            let len = usize::try_from(available).unwrap_or(usize::MAX).min(rest.len());
            if let Some(part) = rest.get_mut(..len).filter(|part| !part.is_empty()) {
                self.read_exact(range.start.saturating_add(skip), part)?;
                filled += len;
            }
            skip = skip.saturating_sub(range_len);
        }
        Ok(filled)
    }
}
