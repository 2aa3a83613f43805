//! The file system without a kernel: questions about files, answered from what is decoded, or not yet.
//!
//! Every question is an *attempt*: it either has its answer at once, or names the bytes that have to be fetched
//! before it is asked again. So a FUSE thread never waits, and the tests need no kernel.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use frazil_erofs::{DirCookie, DirEntry, DiskInode, ErofsError, FileType, Nid, ReadError as AttemptError};
use quick_cache::sync::Cache;

use crate::ReadError;
use crate::reader::{AtHand, Image, Missing};

/// Inodes that are kept taken apart, so that reading data does not go back to the metadata for each request.
const INODES_KEPT: usize = 4096;

/// Fetches that one question may need; each makes progress, so only an image that contradicts itself (or a
/// cache of no size) gets here.
const FETCHES_MAX: usize = 1024;

/// What an attempt gives.
pub(crate) type Attempt<T> = Result<T, AttemptError<Missing>>;

/// What a listing shows of an entry: the inode is there if it was asked for.
pub(crate) struct Listed<'a> {
    pub(crate) entry: &'a DirEntry,
    pub(crate) inode: Option<&'a DiskInode>,
}

/// Whether a listing goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Listing {
    /// There is room for more.
    More,
    /// The entry did not fit.
    Full,
}

/// What a listing shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detail {
    /// Names, numbers and types.
    Names,
    /// The inodes as well.
    Inodes,
}

/// Part of a file: a run of bytes in the image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    pub(crate) offset: u64,
    pub(crate) len: usize,
}

/// The files of an image.
pub(crate) struct Files {
    image: Arc<Image>,
    erofs: frazil_erofs::Image<AtHand>,
    inodes: Cache<Nid, DiskInode>,
}

impl Files {
    /// Opens an image's tree: fetches and checks the superblock.
    pub(crate) async fn open(image: &Arc<Image>) -> Result<Self, ReadError> {
        let source = AtHand(Arc::clone(image));
        let erofs = until_answered(image, || frazil_erofs::Image::open(source.clone())).await?;
        Ok(Self { image: Arc::clone(image), erofs, inodes: Cache::new(INODES_KEPT) })
    }

    /// The image.
    pub(crate) fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// EROFS's own view of it.
    pub(crate) fn erofs(&self) -> &frazil_erofs::Image<AtHand> {
        &self.erofs
    }

    /// The root directory.
    pub(crate) fn root(&self) -> Nid {
        self.erofs.root()
    }

    /// Asks until there is an answer, fetching what is missing in between.
    pub(crate) async fn answer<T>(&self, attempt: impl FnMut() -> Attempt<T>) -> Result<T, ReadError> {
        until_answered(&self.image, attempt).await
    }

    /// An inode by its number.
    pub(crate) fn inode(&self, nid: Nid) -> Attempt<DiskInode> {
        if let Some(inode) = self.inodes.get(&nid) {
            return Ok(inode);
        }
        let inode = self.erofs.inode(nid)?;
        self.inodes.insert(nid, inode.clone());
        Ok(inode)
    }

    /// What a name in a directory stands for.
    pub(crate) fn lookup(&self, directory: Nid, name: &[u8]) -> Attempt<Option<DiskInode>> {
        let directory = self.inode(directory)?;
        match self.erofs.lookup(&directory, name)? {
            Some(entry) => self.inode(entry.nid).map(Some),
            None => Ok(None),
        }
    }

    /// Shows a directory's entries to `show`, from a position on, until it has no room. What is missing behind
    /// the first shown entry ends the listing; the next one goes on there.
    pub(crate) fn list(
        &self,
        directory: Nid,
        from: DirCookie,
        detail: Detail,
        mut show: impl FnMut(Listed<'_>) -> Listing,
    ) -> Attempt<()> {
        let directory = self.inode(directory)?;
        let mut shown = false;
        for entry in self.erofs.read_dir(&directory, from)? {
            let listed = entry.and_then(|entry| match detail {
                Detail::Names => Ok((entry, None)),
                Detail::Inodes => self.inode(entry.nid).map(|inode| (entry, Some(inode))),
            });
            match listed {
                Ok((entry, inode)) => {
                    if show(Listed { entry: &entry, inode: inode.as_ref() }) == Listing::Full {
                        return Ok(());
                    }
                    shown = true;
                }
                Err(AttemptError::Source(_)) if shown => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A symlink's target.
    pub(crate) fn read_link(&self, nid: Nid) -> Attempt<Vec<u8>> {
        self.erofs.read_link(&self.inode(nid)?)
    }

    /// The value of an xattr.
    pub(crate) fn xattr(&self, nid: Nid, name: &[u8]) -> Attempt<Option<Vec<u8>>> {
        self.erofs.xattr(&self.inode(nid)?, name)
    }

    /// The names of all xattrs, each ended by a NUL, as listxattr(2) gives them.
    pub(crate) fn xattr_names(&self, nid: Nid) -> Attempt<Vec<u8>> {
        let mut names = Vec::new();
        for (name, _) in self.erofs.xattrs(&self.inode(nid)?)? {
            names.extend_from_slice(&name);
            names.push(0);
        }
        Ok(names)
    }

    /// Where a range of a file is in the image. The second run is empty but for files whose end stands inline
    /// behind their inode, which Frazil's own writer does not make.
    pub(crate) fn runs(&self, nid: Nid, offset: u64, len: usize) -> Attempt<[Run; 2]> {
        let inode = self.inode(nid)?;
        if inode.file_type != FileType::Regular {
            return Err(ErofsError::NotARegularFile { nid }.into());
        }
        let extents = inode.extents();
        let body_len = extents.body.end.saturating_sub(extents.body.start);
        let body = run(&extents.body, offset, len);
        let tail = run(&extents.tail, offset.saturating_sub(body_len), len - body.len);
        Ok([body, tail])
    }

    /// A range of a file; fewer bytes mean the end of the file.
    pub(crate) async fn read(&self, nid: Nid, offset: u64, len: usize) -> Result<Bytes, ReadError> {
        let [body, tail] = self.answer(|| self.runs(nid, offset, len)).await?;
        if tail.len == 0 {
            return self.image.read(body.offset, body.len).await;
        }
        let mut whole = BytesMut::with_capacity(body.len + tail.len);
        for run in [body, tail] {
            whole.extend_from_slice(&self.image.read(run.offset, run.len).await?);
        }
        Ok(whole.freeze())
    }
}

/// The part of `range` that starts `skip` bytes into it.
fn run(range: &std::ops::Range<u64>, skip: u64, len: usize) -> Run {
    let offset = range.start.saturating_add(skip).min(range.end);
    let available = usize::try_from(range.end - offset).unwrap_or(usize::MAX);
    Run { offset, len: len.min(available) }
}

async fn until_answered<T>(
    image: &Arc<Image>,
    mut attempt: impl FnMut() -> Attempt<T>,
) -> Result<T, ReadError> {
    for _ in 0..FETCHES_MAX {
        let missing = match attempt() {
            Ok(answer) => return Ok(answer),
            Err(AttemptError::Image(error)) => return Err(error.into()),
            Err(AttemptError::Source(missing)) => missing,
        };
        fetch(image, missing).await?;
    }
    Err(ReadError::Stopped)
}

/// Has what is missing fetched; an error if the image ends before it.
pub(crate) async fn fetch(image: &Arc<Image>, Missing { offset, len }: Missing) -> Result<(), ReadError> {
    if image.read(offset, len).await?.len() < len {
        let outside = ErofsError::OutsideImage { offset, len: len as u64, image_len: image.len() };
        return Err(outside.into());
    }
    Ok(())
}
