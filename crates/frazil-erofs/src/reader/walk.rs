//! Every path of an image, for tools that verify: depth first, in the order of names.
//!
//! An image may lie: directories may contain each other or go on without end. So a walk enters each directory
//! once, and ends with an error at its limits.

use std::collections::HashSet;

use super::{DirCookie, DiskInode, Entries, Image, ReadAt, ReadError, ReadResult};
use crate::error::ErofsError;
use crate::types::{FileType, Nid};

/// How far a walk goes before it calls the image corrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalkLimits {
    /// Levels below the root.
    pub depth: usize,
    /// Entries of all directories together.
    pub entries: u64,
}

impl Default for WalkLimits {
    /// Deeper than any tar that unpacks, larger than any image that anyone has seen.
    fn default() -> Self {
        Self { depth: 16_384, entries: 100_000_000 }
    }
}

/// A path of an image with its inode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkEntry {
    /// Names joined by `/`, without one at the start; empty for the root.
    pub path: Vec<u8>,
    /// What the path names.
    pub inode: DiskInode,
}

/// A directory on the way to where the walk is.
struct Level {
    directory: DiskInode,
    position: DirCookie,
    /// Bytes of the directory's own path.
    path_len: usize,
}

/// Every path of an image, the root first; see [`Image::walk`].
pub struct Walk<'i, R> {
    image: &'i Image<R>,
    limits: WalkLimits,
    started: bool,
    above: Vec<Level>,
    current: Option<Entries<'i, R>>,
    path: Vec<u8>,
    /// Bytes of `path` that name the current directory.
    path_len: usize,
    entered: HashSet<Nid>,
    entries: u64,
}

impl<R: ReadAt> Image<R> {
    /// Walks the whole tree. After an error from the source the walk goes on where it was; after one
    /// from the image it ends.
    pub fn walk(&self, limits: WalkLimits) -> Walk<'_, R> {
        Walk {
            image: self,
            limits,
            started: false,
            above: Vec::new(),
            current: None,
            path: Vec::new(),
            path_len: 0,
            entered: HashSet::new(),
            entries: 0,
        }
    }
}

impl<R: ReadAt> Walk<'_, R> {
    fn try_next(&mut self) -> ReadResult<Option<WalkEntry>, R> {
        if !self.started {
            let root = self.image.inode(self.image.root())?;
            self.enter(&root)?;
            self.started = true;
            return Ok(Some(WalkEntry { path: Vec::new(), inode: root }));
        }
        while let Some(listing) = &mut self.current {
            let position = listing.cookie();
            let Some(entry) = listing.next().transpose()? else {
                self.leave()?;
                continue;
            };
            self.count_entry()?;
            if matches!(entry.name.as_slice(), b"." | b"..") {
                continue;
            }
            let inode = match self.image.inode(entry.nid) {
                Ok(inode) => inode,
                Err(error) => {
                    self.rewind(position)?;
                    return Err(error);
                }
            };
            self.name(&entry.name);
            if inode.file_type != entry.file_type {
                let reason = "it is not what its dirent says";
                return Err(ReadError::Image(ErofsError::CorruptInode { nid: inode.nid, reason }));
            }
            let path = self.path.clone();
            if inode.file_type == FileType::Directory {
                self.enter(&inode)?;
            }
            return Ok(Some(WalkEntry { path, inode }));
        }
        Ok(None)
    }

    /// Puts an entry's name behind the current directory's path.
    fn name(&mut self, name: &[u8]) {
        self.path.truncate(self.path_len);
        if self.path_len > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
    }

    fn enter(&mut self, directory: &DiskInode) -> Result<(), ErofsError> {
        let nid = directory.nid;
        if !self.entered.insert(nid) {
            return Err(ErofsError::DirectoryLoop { nid });
        }
        if self.above.len() >= self.limits.depth {
            return Err(ErofsError::TooDeep { nid, limit: self.limits.depth });
        }
        let listing = self.image.read_dir(directory, DirCookie::default())?;
        if let Some(left) = self.current.replace(listing) {
            let (directory, position) = (left.directory().clone(), left.cookie());
            self.above.push(Level { directory, position, path_len: self.path_len });
        }
        self.path_len = self.path.len();
        Ok(())
    }

    fn leave(&mut self) -> Result<(), ErofsError> {
        self.current = None;
        if let Some(level) = self.above.pop() {
            self.current = Some(self.image.read_dir(&level.directory, level.position)?);
            self.path_len = level.path_len;
        }
        Ok(())
    }

    /// Takes back the last entry, so that the walk meets it again.
    fn rewind(&mut self, position: DirCookie) -> Result<(), ErofsError> {
        if let Some(listing) = &self.current {
            let directory = listing.directory().clone();
            self.current = Some(self.image.read_dir(&directory, position)?);
            self.entries = self.entries.saturating_sub(1);
        }
        Ok(())
    }

    fn count_entry(&mut self) -> Result<(), ErofsError> {
        self.entries = self.entries.saturating_add(1);
        if self.entries > self.limits.entries {
            return Err(ErofsError::TooManyEntries { limit: self.limits.entries });
        }
        Ok(())
    }
}

impl<R: ReadAt> Iterator for Walk<'_, R> {
    type Item = ReadResult<WalkEntry, R>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.try_next();
        if matches!(entry, Err(ReadError::Image(_))) {
            self.current = None;
            self.above.clear();
            self.started = true;
        }
        entry.transpose()
    }
}
