//! The tree as FUSE sees it: each operation asks [`Files`] and answers, at once if it can.
//!
//! Nothing ever changes, so the kernel may keep everything for ever, names that are not there included.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use frazil_erofs::{DirCookie, ErofsError, ReadError as AttemptError};
use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, KernelConfig,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use tracing::{Instrument, debug_span};

use super::attributes::{Numbering, kind};
use super::files::{Attempt, Detail, Files, Listed, Listing};
use crate::ReadError;
use crate::session::{Later, Negotiated, negotiate};

const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A name's longest length, in bytes.
const NAME_MAX: u32 = 255;

/// Serves an image's tree.
pub(crate) struct TreeFs {
    files: Arc<Files>,
    numbering: Numbering,
    later: Later,
    negotiated: Negotiated,
}

impl TreeFs {
    pub(crate) fn new(files: Arc<Files>) -> Self {
        let numbering = Numbering::new(files.root());
        let later = Later::new(files.image().runtime().clone());
        Self { files, numbering, later, negotiated: Negotiated::default() }
    }

    /// Answers at once if everything is decoded; else fetches what is missing, elsewhere, and asks again.
    fn answer<T: Send + 'static>(
        &self,
        request: &Request,
        mut attempt: impl FnMut(&Files) -> Attempt<T> + Send + 'static,
        answer: impl FnOnce(Result<T, Errno>) + Send + 'static,
    ) {
        match attempt(&self.files) {
            Ok(value) => answer(Ok(value)),
            Err(AttemptError::Image(error)) => {
                answer(Err(errno(&error)));
                if errno(&error) == Errno::EIO {
                    Arc::clone(self.files.image()).complain(ReadError::from(error), 0);
                }
            }
            Err(AttemptError::Source(missing)) => {
                let files = Arc::clone(&self.files);
                let image = Arc::clone(self.files.image());
                let work = async move { files.answer(|| attempt(&files)).await };
                let complain = move |error| image.complain(error, missing.offset);
                self.later.answer(request.pid(), work, answer, complain);
            }
        }
    }
}

/// The errno of a question that the image cannot answer.
fn errno(error: &ErofsError) -> Errno {
    match error {
        ErofsError::NotADirectory { .. } => Errno::ENOTDIR,
        ErofsError::NotASymlink { .. } => Errno::EINVAL,
        ErofsError::NotARegularFile { .. } => Errno::EISDIR,
        _ => Errno::EIO,
    }
}

/// An answer of "no such name" that the kernel may keep: number 0.
fn nothing() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

/// Answers a question of known size as xattr calls want it: the size, the bytes, or ERANGE.
fn answer_sized(reply: ReplyXattr, size: u32, bytes: &[u8]) {
    match bytes.len() {
        len if size == 0 => reply.size(len as u32),
        len if len > size as usize => reply.error(Errno::ERANGE),
        _ => reply.data(bytes),
    }
}

/// A listing's reply, which an attempt fills and the answer sends.
type Filling<R> = Arc<Mutex<Option<R>>>;

fn shared<R>(reply: R) -> (Filling<R>, Filling<R>) {
    let reply = Arc::new(Mutex::new(Some(reply)));
    (Arc::clone(&reply), reply)
}

fn fill<R>(filling: &Filling<R>, add: impl FnOnce(&mut R) -> bool) -> Listing {
    let mut reply = filling.lock().unwrap_or_else(PoisonError::into_inner);
    if reply.as_mut().is_none_or(add) { Listing::Full } else { Listing::More }
}

fn take<R>(filled: &Filling<R>) -> Option<R> {
    filled.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl Filesystem for TreeFs {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        self.negotiated = negotiate(config);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (numbering, parent, name) =
            (self.numbering, self.numbering.nid(parent), name.as_bytes().to_vec());
        let attempt = move |files: &Files| files.lookup(parent, &name);
        self.answer(request, attempt, move |outcome| match outcome {
            Ok(Some(inode)) => reply.entry(&FOREVER, &numbering.attributes(&inode), Generation(0)),
            Ok(None) => reply.entry(&FOREVER, &nothing(), Generation(0)),
            Err(errno) => reply.error(errno),
        });
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let (numbering, nid) = (self.numbering, self.numbering.nid(ino));
        self.answer(
            request,
            move |files| files.inode(nid),
            move |outcome| match outcome {
                Ok(inode) => reply.attr(&FOREVER, &numbering.attributes(&inode)),
                Err(errno) => reply.error(errno),
            },
        );
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        let nid = self.numbering.nid(ino);
        self.answer(
            request,
            move |files| files.read_link(nid),
            move |outcome| match outcome {
                Ok(target) => reply.data(&target),
                Err(errno) => reply.error(errno),
            },
        );
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        if self.negotiated.no_open {
            // From now on the kernel opens by itself, and keeps what it cached.
            reply.error(Errno::ENOSYS);
        } else {
            reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
        }
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let (nid, len) = (self.numbering.nid(ino), size as usize);
        let mut at = 0;
        let mut reply = Some(reply);
        match self.files.runs(nid, offset, len) {
            Ok([run, tail]) => {
                at = run.offset;
                if tail.len == 0 {
                    self.files.image().try_with(run.offset, run.len, |bytes| {
                        if let Some(reply) = reply.take() {
                            reply.data(bytes);
                        }
                    });
                }
            }
            Err(AttemptError::Image(error)) if errno(&error) != Errno::EIO => {
                if let Some(reply) = reply.take() {
                    reply.error(errno(&error));
                }
            }
            Err(_) => {}
        }
        let Some(reply) = reply else { return };
        let (files, image) = (Arc::clone(&self.files), Arc::clone(self.files.image()));
        self.later.answer(
            request.pid(),
            async move { files.read(nid, offset, len).await }.instrument(debug_span!(
                "fuse_read",
                face = "tree",
                ino = ino.0,
                offset,
                size
            )),
            move |outcome| match outcome {
                Ok(bytes) => reply.data(&bytes),
                Err(errno) => reply.error(errno),
            },
            move |error| image.complain(error, at),
        );
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Nothing is ever buffered: the kernel need not ask again at any other close.
        reply.error(Errno::ENOSYS);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        if self.negotiated.no_opendir {
            reply.error(Errno::ENOSYS);
        } else {
            reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR);
        }
    }

    fn readdir(&self, request: &Request, ino: INodeNo, _: FileHandle, offset: u64, reply: ReplyDirectory) {
        let (numbering, nid) = (self.numbering, self.numbering.nid(ino));
        let (filling, filled) = shared(reply);
        let attempt = move |files: &Files| {
            files.list(nid, DirCookie(offset), Detail::Names, |Listed { entry, .. }| {
                fill(&filling, |reply| {
                    let name = OsStr::from_bytes(&entry.name);
                    reply.add(numbering.ino(entry.nid), entry.next.0, kind(entry.file_type), name)
                })
            })
        };
        self.answer(request, attempt, move |outcome| match (take(&filled), outcome) {
            (Some(reply), Ok(())) => reply.ok(),
            (Some(reply), Err(errno)) => reply.error(errno),
            (None, _) => {}
        });
    }

    fn readdirplus(
        &self,
        request: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        let (numbering, nid) = (self.numbering, self.numbering.nid(ino));
        let (filling, filled) = shared(reply);
        let attempt = move |files: &Files| {
            files.list(nid, DirCookie(offset), Detail::Inodes, |Listed { entry, inode }| {
                let Some(attributes) = inode.map(|inode| numbering.attributes(inode)) else {
                    return Listing::Full;
                };
                fill(&filling, |reply| {
                    let name = OsStr::from_bytes(&entry.name);
                    reply.add(attributes.ino, entry.next.0, name, &FOREVER, &attributes, Generation(0))
                })
            })
        };
        self.answer(request, attempt, move |outcome| match (take(&filled), outcome) {
            (Some(reply), Ok(())) => reply.ok(),
            (Some(reply), Err(errno)) => reply.error(errno),
            (None, _) => {}
        });
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let superblock = self.files.erofs().superblock();
        let blocks = u64::from(superblock.block_count);
        reply.statfs(blocks, 0, 0, superblock.inode_count, 0, 4096, NAME_MAX, 4096);
    }

    fn getxattr(&self, request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let (nid, name) = (self.numbering.nid(ino), name.as_bytes().to_vec());
        let attempt = move |files: &Files| files.xattr(nid, &name);
        self.answer(request, attempt, move |outcome| match outcome {
            Ok(Some(value)) => answer_sized(reply, size, &value),
            Ok(None) => reply.error(Errno::NO_XATTR),
            Err(errno) => reply.error(errno),
        });
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let nid = self.numbering.nid(ino);
        self.answer(
            request,
            move |files| files.xattr_names(nid),
            move |outcome| match outcome {
                Ok(names) => answer_sized(reply, size, &names),
                Err(errno) => reply.error(errno),
            },
        );
    }
}
