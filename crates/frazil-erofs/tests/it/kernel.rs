//! The kernel's EROFS, mounted for real on a file, as an oracle.
//!
//! Each mount lives in a mount namespace of a thread of its own, so it is gone when that thread is, however
//! the test ends.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use frazil_erofs::{DeviceNumber, FileType, Timestamp};
use rustix::fs::{lgetxattr, llistxattr, major, minor};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::listing::{Listing, Seen, join, number_links};

/// The VFS's limits of a list of xattr names and of one value.
const XATTR_MAX: usize = 65_536;

/// What the kernel shows of an image.
pub(crate) fn read(bytes: &[u8]) -> Listing {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("image");
    fs::write(&image, bytes).unwrap();
    with_mounted(&image, list)
}

/// Runs `look` on the root of a mounted image.
pub(crate) fn with_mounted<T: Send>(image: &Path, look: impl FnOnce(&Path) -> T + Send) -> T {
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            enter_private_mount_namespace();
            let mounted = Mounted::new(image);
            look(mounted.root.path())
        });
        looking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn enter_private_mount_namespace() {
    // SAFETY: only this thread's mount namespace and working directory become its own; no file descriptor does.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.expect("mounting needs root");
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
}

struct Mounted {
    root: tempfile::TempDir,
}

impl Mounted {
    fn new(image: &Path) -> Self {
        let root = tempfile::tempdir().unwrap();
        mount(image, root.path(), "erofs", MountFlags::RDONLY, None)
            .expect("the kernel refuses the image, or is older than 6.12 and cannot mount files");
        Self { root }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(self.root.path(), UnmountFlags::DETACH).unwrap();
    }
}

fn list(root: &Path) -> Listing {
    let mut paths = BTreeMap::new();
    let mut pending = vec![Vec::new()];
    while let Some(path) = pending.pop() {
        let full = root.join(OsStr::from_bytes(&path));
        let metadata = fs::symlink_metadata(&full).unwrap();
        if metadata.is_dir() {
            for entry in fs::read_dir(&full).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_vec();
                assert_eq!(entry.file_type().unwrap(), entry.metadata().unwrap().file_type());
                pending.push(join(&path, &name));
            }
        }
        paths.insert(path, (metadata.ino(), see(&full, &metadata)));
    }
    number_links(paths)
}

fn see(path: &Path, metadata: &fs::Metadata) -> Seen {
    let file_type = file_type(metadata.file_type());
    let is_device = matches!(file_type, FileType::CharDevice | FileType::BlockDevice);
    let content = match file_type {
        FileType::Regular => fs::read(path).unwrap(),
        FileType::Symlink => fs::read_link(path).unwrap().into_os_string().into_vec(),
        _ => Vec::new(),
    };
    if file_type != FileType::Directory {
        assert_eq!(metadata.size(), content.len() as u64);
    }
    Seen {
        file_type,
        mode: (metadata.mode() & 0o7777) as u16,
        uid: metadata.uid(),
        gid: metadata.gid(),
        nlink: metadata.nlink() as u32,
        mtime: Timestamp { seconds: metadata.mtime(), nanos: metadata.mtime_nsec() as u32 },
        device: is_device
            .then(|| DeviceNumber { major: major(metadata.rdev()), minor: minor(metadata.rdev()) }),
        xattrs: xattrs(path),
        content,
        first_path: Vec::new(),
    }
}

fn file_type(file_type: fs::FileType) -> FileType {
    match file_type {
        t if t.is_dir() => FileType::Directory,
        t if t.is_symlink() => FileType::Symlink,
        t if t.is_char_device() => FileType::CharDevice,
        t if t.is_block_device() => FileType::BlockDevice,
        t if t.is_fifo() => FileType::Fifo,
        t if t.is_socket() => FileType::Socket,
        _ => FileType::Regular,
    }
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; XATTR_MAX];
    let len = llistxattr(path, names.as_mut_slice()).unwrap();
    let names = names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| (name.to_vec(), xattr(path, name))).collect()
}

fn xattr(path: &Path, name: &[u8]) -> Vec<u8> {
    let mut value = vec![0; XATTR_MAX];
    let len = lgetxattr(path, name, value.as_mut_slice())
        .unwrap_or_else(|error| panic!("{}: xattr {}: {error}", path.display(), name.escape_ascii()));
    value.truncate(len);
    value
}
