//! A FUSE file system of exactly one file: the block image.

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, KernelConfig,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, Request,
};
use tokio::runtime::Handle;
use tracing::{Instrument, debug_span};

use crate::reader::AddressSpace;
use crate::session::{Later, negotiate};

/// The only file's number; the root is 1.
const FILE: INodeNo = INodeNo(2);

/// Nothing here ever changes.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Serves an address space as a file.
pub(crate) struct BlockFile<S> {
    space: Arc<S>,
    name: String,
    later: Later,
}

impl<S: AddressSpace> BlockFile<S> {
    /// The file system of the one file `name`.
    pub(crate) fn new(space: Arc<S>, name: String, runtime: Handle) -> Self {
        Self { space, name, later: Later::new(runtime) }
    }

    fn attributes(&self, ino: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match ino {
            INodeNo::ROOT => (FileType::Directory, 0o555, 0),
            FILE => (FileType::RegularFile, 0o444, self.space.len()),
            _ => return None,
        };
        Some(FileAttr {
            ino,
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl<S: AddressSpace> Filesystem for BlockFile<S> {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        negotiate(config);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attributes(FILE) {
            Some(attributes) if parent == INodeNo::ROOT && name == OsStr::new(&self.name) => {
                reply.entry(&FOREVER, &attributes, Generation(0));
            }
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(ino) {
            Some(attributes) => reply.attr(&FOREVER, &attributes),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // The page cache of what is mounted above is the one that counts; a second below would only copy.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Nothing is ever buffered: the kernel need not ask again at any other close.
        reply.error(Errno::ENOSYS);
    }

    fn read(
        &self,
        request: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut reply = Some(reply);
        self.space.try_read(offset, size as usize, &mut |bytes| {
            if let Some(reply) = reply.take() {
                reply.data(bytes);
            }
        });
        let Some(reply) = reply else { return };
        let space = Arc::clone(&self.space);
        self.later.answer(
            request.pid(),
            Arc::clone(&self.space).read(offset, size as usize).instrument(debug_span!(
                "fuse_read",
                face = "erofs",
                offset,
                size
            )),
            move |outcome| match outcome {
                Ok(bytes) => reply.data(&bytes),
                Err(errno) => reply.error(errno),
            },
            move |error| space.failed(offset, error),
        );
    }
}
