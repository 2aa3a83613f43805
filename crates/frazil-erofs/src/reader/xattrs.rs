//! An inode's xattrs: inline behind it, or shared by several inodes.
//!
//! Xattrs under a prefix that the kernel does not show are not shown here either. Long prefixes are an
//! incompatible feature, which opening the image refuses.

use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

use super::{DiskInode, Image, ReadAt, ReadResult};
use crate::error::ErofsError;
use crate::layout::{BLOCK_BYTES, RawXattrEntry, RawXattrHeader, XATTR_ALIGN, XATTR_ENTRY_SIZE};
use crate::tree::Xattrs;
use crate::types::Nid;
use crate::xattr_name::{IndexedName, join, split};

/// One xattr as it is stored.
struct StoredXattr<'a> {
    name: IndexedName<'a>,
    value: &'a [u8],
}

impl<R: ReadAt> Image<R> {
    /// All xattrs of an inode, with their full names, in the order in which they are stored. Reads nothing if
    /// there are none.
    ///
    /// # Errors
    ///
    /// From the source; or if the xattrs are corrupt.
    pub fn xattrs(&self, inode: &DiskInode) -> ReadResult<Xattrs, R> {
        let mut xattrs = Vec::new();
        self.visit_xattrs(inode, |xattr| {
            if let Some(name) = join(xattr.name) {
                xattrs.push((name, xattr.value.to_vec()));
            }
        })?;
        Ok(xattrs)
    }

    /// The value of one xattr of an inode, by its full name. Reads nothing if there are none, or none of
    /// this name can exist.
    ///
    /// # Errors
    ///
    /// From the source; or if the xattrs are corrupt.
    pub fn xattr(&self, inode: &DiskInode, name: &[u8]) -> ReadResult<Option<Vec<u8>>, R> {
        let mut value = None;
        if let Some(wanted) = split(name) {
            self.visit_xattrs(inode, |xattr| {
                if value.is_none() && xattr.name == wanted {
                    value = Some(xattr.value.to_vec());
                }
            })?;
        }
        Ok(value)
    }

    fn visit_xattrs(&self, inode: &DiskInode, mut visit: impl FnMut(StoredXattr<'_>)) -> ReadResult<(), R> {
        if !inode.has_xattrs() {
            return Ok(());
        }
        let nid = inode.nid;
        // At most 256 KiB, since its length comes from a 16-bit count, and inside the image.
        let len = inode.xattrs.end.saturating_sub(inode.xattrs.start);
        let mut body = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        self.read_exact(inode.xattrs.start, &mut body)?;
        let truncated = || ErofsError::CorruptXattrs { nid, reason: "they are truncated" };
        let (header, rest) = RawXattrHeader::read_from_prefix(&body).map_err(|_| truncated())?;
        let shared_len = usize::from(header.shared_count) * size_of::<U32>();
        let (shared, mut entries) = rest.split_at_checked(shared_len).ok_or_else(truncated)?;
        while !entries.is_empty() {
            let (xattr, behind) = parse(entries).ok_or_else(truncated)?;
            visit(xattr);
            entries = behind;
        }
        for id in shared.chunks_exact(size_of::<U32>()) {
            let id = U32::read_from_bytes(id).map_err(|_| truncated())?;
            let bytes = self.read_shared(nid, id.get())?;
            let (xattr, _) = parse(&bytes).ok_or_else(truncated)?;
            visit(xattr);
        }
        Ok(())
    }

    /// Reads a shared xattr: its entry says how much follows, 64 KiB at most.
    fn read_shared(&self, nid: Nid, id: u32) -> ReadResult<Vec<u8>, R> {
        let base = u64::from(self.superblock().xattr_block) * BLOCK_BYTES;
        let offset = base.saturating_add(u64::from(id) * XATTR_ALIGN as u64);
        let mut entry = [0; XATTR_ENTRY_SIZE];
        self.read_exact(offset, &mut entry)?;
        let raw = RawXattrEntry::read_from_bytes(&entry)
            .map_err(|_| ErofsError::CorruptXattrs { nid, reason: "a shared one is truncated" })?;
        let mut bytes = vec![0; padded_len(&raw)];
        self.read_exact(offset, &mut bytes)?;
        Ok(bytes)
    }
}

/// The first xattr in the bytes, and the bytes behind its padding.
fn parse(bytes: &[u8]) -> Option<(StoredXattr<'_>, &[u8])> {
    let (raw, _) = RawXattrEntry::read_from_prefix(bytes).ok()?;
    let (padded, behind) = bytes.split_at_checked(padded_len(&raw))?;
    let content = padded.get(XATTR_ENTRY_SIZE..)?;
    let (suffix, content) = content.split_at_checked(raw.name_len.into())?;
    let value = content.get(..raw.value_len.get().into())?;
    Some((StoredXattr { name: IndexedName { index: raw.name_index, suffix }, value }, behind))
}

fn padded_len(raw: &RawXattrEntry) -> usize {
    let len = XATTR_ENTRY_SIZE + usize::from(raw.name_len) + usize::from(raw.value_len.get());
    len.next_multiple_of(XATTR_ALIGN)
}
