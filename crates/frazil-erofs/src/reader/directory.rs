//! Directories: finding one name, and listing from a cookie on.
//!
//! A directory is a row of blocks, each of dirents followed by their names, all sorted bytewise. So a lookup
//! is two binary searches, over the blocks by their first names and then in one block.

use std::cmp::Ordering;

use zerocopy::FromBytes;

use super::{DiskInode, Image, ReadAt, ReadError, ReadResult};
use crate::error::ErofsError;
use crate::layout::{BLOCK_BYTES, BLOCK_SIZE, DIRENT_SIZE, NAME_MAX, RawDirent};
use crate::types::{FileType, Nid};

/// A position in a directory. The default is the start; each [`DirEntry`] carries the position behind it,
/// which stays valid as long as the image does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirCookie(pub u64);

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name, `.` and `..` included.
    pub name: Vec<u8>,
    /// The inode that it names.
    pub nid: Nid,
    /// What that inode is.
    pub file_type: FileType,
    /// The position behind this entry.
    pub next: DirCookie,
}

/// One directory block, read and measured.
struct DirentBlock {
    bytes: [u8; BLOCK_SIZE],
    /// Bytes that belong to the directory.
    len: usize,
    directory: Nid,
    number: u64,
    count: usize,
}

impl DirentBlock {
    fn corrupt(&self, reason: &'static str) -> ErofsError {
        ErofsError::CorruptDirectory { nid: self.directory, block: self.number, reason }
    }

    fn dirent(&self, index: usize) -> Option<RawDirent> {
        let start = index.checked_mul(DIRENT_SIZE)?;
        let bytes = self.bytes.get(..self.len)?.get(start..)?;
        RawDirent::read_from_prefix(bytes).ok().map(|(dirent, _)| dirent)
    }

    /// How many dirents there are, from where the first one's name starts: at least one.
    fn measure(&mut self) -> Result<(), ErofsError> {
        let first = self.dirent(0).ok_or(self.corrupt("it is too short for a dirent"))?;
        let names_start = usize::from(first.name_offset.get());
        if names_start < DIRENT_SIZE || names_start % DIRENT_SIZE != 0 || names_start > self.len {
            return Err(self.corrupt("its first name is not behind its dirents"));
        }
        self.count = names_start / DIRENT_SIZE;
        Ok(())
    }

    fn name(&self, index: usize) -> Result<&[u8], ErofsError> {
        let bogus = || self.corrupt("it has a name that is empty, too long or out of place");
        let start = usize::from(self.dirent(index).ok_or_else(bogus)?.name_offset.get());
        let last = index + 1 >= self.count;
        let end = match self.dirent(index + 1).filter(|_| !last) {
            Some(next) => usize::from(next.name_offset.get()).min(self.len),
            None => self.len,
        };
        let mut name = self.bytes.get(start..end).ok_or_else(bogus)?;
        if last {
            name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        }
        let behind_dirents = start >= self.count * DIRENT_SIZE;
        let storable = (1..=NAME_MAX).contains(&name.len()) && !name.iter().any(|b| matches!(b, b'/' | 0));
        if behind_dirents && storable { Ok(name) } else { Err(bogus()) }
    }

    fn entry(&self, index: usize) -> Result<DirEntry, ErofsError> {
        let dirent = self.dirent(index).ok_or(self.corrupt("it is too short for its dirents"))?;
        let file_type = FileType::from_dirent(dirent.file_type)
            .ok_or(self.corrupt("it has a dirent without a file type"))?;
        let next = match index + 1 {
            next if next < self.count => self.number * BLOCK_BYTES + (next * DIRENT_SIZE) as u64,
            _ => (self.number + 1) * BLOCK_BYTES,
        };
        Ok(DirEntry {
            name: self.name(index)?.to_vec(),
            nid: Nid(dirent.nid.get()),
            file_type,
            next: DirCookie(next),
        })
    }

    /// Finds a name among this block's.
    fn find(&self, name: &[u8]) -> Result<Option<DirEntry>, ErofsError> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.name(middle)?.cmp(name) {
                Ordering::Equal => return self.entry(middle).map(Some),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }
}

impl<R: ReadAt> Image<R> {
    /// Finds a name in a directory; `.` and `..` are there too. Reads a handful of its blocks.
    ///
    /// # Errors
    ///
    /// From the source; or if the inode is not a directory, or a block on the way is corrupt.
    pub fn lookup(&self, directory: &DiskInode, name: &[u8]) -> ReadResult<Option<DirEntry>, R> {
        let (mut low, mut high) = (0, block_count(directory)?);
        let mut candidate = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let block = self.dirent_block(directory, middle)?;
            if block.name(0)? <= name {
                candidate = Some(block);
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        match candidate {
            Some(block) => Ok(block.find(name)?),
            None => Ok(None),
        }
    }

    /// Lists a directory from a position on, in bytewise order of names; `.` and `..` are among them.
    ///
    /// # Errors
    ///
    /// If the inode is not a directory. The iterator gives all other errors; after one from the source
    /// it goes on where it was, after one from the image it ends.
    pub fn read_dir<'i>(
        &'i self,
        directory: &DiskInode,
        from: DirCookie,
    ) -> Result<Entries<'i, R>, ErofsError> {
        block_count(directory)?;
        Ok(Entries { image: self, directory: directory.clone(), position: from, block: None })
    }

    fn dirent_block(&self, directory: &DiskInode, number: u64) -> ReadResult<DirentBlock, R> {
        let mut block =
            DirentBlock { bytes: [0; BLOCK_SIZE], len: 0, directory: directory.nid, number, count: 0 };
        let offset = number.saturating_mul(BLOCK_BYTES);
        block.len = self.read_content(directory, offset, &mut block.bytes)?;
        block.measure()?;
        Ok(block)
    }
}

fn block_count(directory: &DiskInode) -> Result<u64, ErofsError> {
    match directory.file_type {
        FileType::Directory => Ok(directory.size.div_ceil(BLOCK_BYTES)),
        _ => Err(ErofsError::NotADirectory { nid: directory.nid }),
    }
}

/// The entries of a directory from a position on; see [`Image::read_dir`].
pub struct Entries<'i, R> {
    image: &'i Image<R>,
    directory: DiskInode,
    position: DirCookie,
    block: Option<Box<DirentBlock>>,
}

impl<R> Entries<'_, R> {
    /// The position of the next entry.
    pub fn cookie(&self) -> DirCookie {
        self.position
    }

    /// The directory that is listed.
    pub fn directory(&self) -> &DiskInode {
        &self.directory
    }

    fn end(&mut self) {
        self.position = DirCookie(u64::MAX);
        self.block = None;
    }
}

impl<R: ReadAt> Entries<'_, R> {
    fn try_next(&mut self) -> ReadResult<Option<DirEntry>, R> {
        // Twice at most: a foreign cookie may point behind a block's last entry.
        while self.position.0 < self.directory.size {
            let number = self.position.0 / BLOCK_BYTES;
            if self.block.as_ref().is_none_or(|block| block.number != number) {
                self.block = Some(Box::new(self.image.dirent_block(&self.directory, number)?));
            }
            let index = ((self.position.0 % BLOCK_BYTES) as usize).div_ceil(DIRENT_SIZE);
            if let Some(block) = self.block.as_ref().filter(|block| index < block.count) {
                let entry = block.entry(index)?;
                self.position = entry.next;
                return Ok(Some(entry));
            }
            self.position = DirCookie((number + 1).saturating_mul(BLOCK_BYTES));
        }
        Ok(None)
    }
}

impl<R: ReadAt> Iterator for Entries<'_, R> {
    type Item = ReadResult<DirEntry, R>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.try_next();
        if matches!(entry, Err(ReadError::Image(_))) {
            self.end();
        }
        entry.transpose()
    }
}
