//! An image's metadata, read piece by piece through a source that may not have every piece yet.
//!
//! Every operation is stateless: it reads what it needs, in order, and when the source fails it can simply be
//! asked again once the source can answer. Nothing in the image is trusted: whatever points somewhere is
//! checked against the image's size before the source sees it, and every loop is bounded by bytes that
//! were really read.

mod data;
mod directory;
mod inode;
mod source;
mod superblock;
mod walk;
mod xattrs;

pub use directory::{DirCookie, DirEntry, Entries};
pub use inode::{DiskInode, Extents};
pub use source::{OutOfRange, ReadAt, ReadError};
pub use superblock::Superblock;
pub use walk::{Walk, WalkEntry, WalkLimits};

use crate::error::ErofsError;
use crate::types::Nid;

/// An EROFS image behind a source of bytes.
#[derive(Debug, Clone)]
pub struct Image<R> {
    source: R,
    superblock: Superblock,
}

/// What reading an image through `R` gives.
pub(crate) type ReadResult<T, R> = Result<T, ReadError<<R as ReadAt>::Error>>;

impl<R: ReadAt> Image<R> {
    /// Reads and checks the superblock: the image's first 4 KiB.
    ///
    /// # Errors
    ///
    /// [`ReadError::Source`] from the source; [`ReadError::Image`] if this is not an EROFS image with blocks
    /// of 4 KiB, if its checksum is wrong, or if it needs features that this reader does not have.
    pub fn open(source: R) -> ReadResult<Self, R> {
        let mut block = [0; crate::BLOCK_SIZE];
        source.read_at(0, &mut block).map_err(ReadError::Source)?;
        let superblock = Superblock::parse(&block)?;
        Ok(Self { source, superblock })
    }

    /// What the superblock says.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// The source of the image's bytes.
    pub fn source(&self) -> &R {
        &self.source
    }

    /// The root directory's number.
    pub fn root(&self) -> Nid {
        self.superblock.root
    }

    /// Bytes in the image, metadata and data.
    pub fn len(&self) -> u64 {
        self.superblock.image_len()
    }

    /// Whether the image has no byte, which a superblock could claim.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` from the image, after a check that the image has these bytes at all.
    fn read_exact(&self, offset: u64, buf: &mut [u8]) -> ReadResult<(), R> {
        self.check_range(offset, buf.len() as u64)?;
        self.source.read_at(offset, buf).map_err(ReadError::Source)
    }

    fn check_range(&self, offset: u64, len: u64) -> Result<(), ErofsError> {
        let image_len = self.len();
        match offset.checked_add(len) {
            Some(end) if end <= image_len => Ok(()),
            _ => Err(ErofsError::OutsideImage { offset, len, image_len }),
        }
    }
}
