//! A file tree, written down: all that a program could see of it, so that two trees can be compared.
//!
//! Invariant: nothing is left out that fidelity is judged by, and nothing is kept that only the file system
//! chose (inode numbers, sizes of directories, times of access).

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{lgetxattr, llistxattr, major, minor};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

/// The kernel's bound on one extended attribute's value, and on all their names (`XATTR_SIZE_MAX`).
const XATTR_MAX: usize = 65_536;

/// Every path below the root, without a leading slash, and the root itself as the empty path.
pub(crate) type Tree = BTreeMap<PathBuf, Metadata>;

/// All of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// The type and what belongs to it.
    pub(crate) kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub(crate) mode: u32,
    /// The owner.
    pub(crate) uid: u32,
    /// The group.
    pub(crate) gid: u32,
    /// Seconds and nanoseconds since the epoch.
    pub(crate) mtime: (i64, i64),
    /// How many names the file says it has; 1 for a directory, whose count is the file system's choice.
    pub(crate) names: u64,
    /// The first path of the same file, where the tree has several.
    pub(crate) hardlink_group: Option<PathBuf>,
    /// Extended attributes by name.
    pub(crate) xattrs: BTreeMap<OsString, Vec<u8>>,
}

/// A path's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file: bytes, and the SHA-256 of its content.
    File { size: u64, sha256: String },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink { target: PathBuf },
    /// A character device.
    CharDevice { major: u32, minor: u32 },
    /// A block device.
    BlockDevice { major: u32, minor: u32 },
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
}

/// Writes down the tree at `root`; panics with the path if something cannot be read.
#[track_caller]
pub(crate) fn snapshot(root: &Path) -> Tree {
    let (mut tree, mut inodes) = (Tree::new(), BTreeMap::<(u64, u64), Vec<PathBuf>>::new());
    let mut pending = vec![PathBuf::new()];
    while let Some(path) = pending.pop() {
        // Joining the empty path would add a slash, and a symlink would be followed.
        let full = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(&path) };
        let at = |error: io::Error| -> ! { panic!("cannot read {}: {error}", full.display()) };
        let stat = fs::symlink_metadata(&full).unwrap_or_else(|error| at(error));
        if stat.is_dir() {
            for entry in fs::read_dir(&full).unwrap_or_else(|error| at(error)) {
                pending.push(path.join(entry.unwrap_or_else(|error| at(error)).file_name()));
            }
        } else {
            inodes.entry((stat.dev(), stat.ino())).or_default().push(path.clone());
        }
        tree.insert(path, metadata(&full, &stat).unwrap_or_else(|error| at(error)));
    }
    for mut paths in inodes.into_values().filter(|paths| paths.len() > 1) {
        paths.sort();
        for path in &paths {
            tree.get_mut(path).unwrap().hardlink_group = Some(paths[0].clone());
        }
    }
    tree
}

fn metadata(path: &Path, stat: &fs::Metadata) -> io::Result<Metadata> {
    Ok(Metadata {
        kind: kind(path, stat)?,
        mode: stat.mode() & 0o7777,
        uid: stat.uid(),
        gid: stat.gid(),
        mtime: (stat.mtime(), stat.mtime_nsec()),
        names: if stat.is_dir() { 1 } else { stat.nlink() },
        hardlink_group: None,
        xattrs: xattrs(path)?,
    })
}

fn kind(path: &Path, stat: &fs::Metadata) -> io::Result<Kind> {
    let (file_type, (major, minor)) = (stat.file_type(), (major(stat.rdev()), minor(stat.rdev())));
    Ok(match file_type {
        _ if file_type.is_dir() => Kind::Directory,
        _ if file_type.is_symlink() => Kind::Symlink { target: fs::read_link(path)? },
        _ if file_type.is_char_device() => Kind::CharDevice { major, minor },
        _ if file_type.is_block_device() => Kind::BlockDevice { major, minor },
        _ if file_type.is_fifo() => Kind::Fifo,
        _ if file_type.is_socket() => Kind::Socket,
        _ => Kind::File { size: stat.size(), sha256: sha256(path)? },
    })
}

fn sha256(path: &Path) -> io::Result<String> {
    let (mut hash, mut file) = (Sha256::new(), File::open(path)?);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

fn xattrs(path: &Path) -> io::Result<BTreeMap<OsString, Vec<u8>>> {
    let mut names = vec![0; XATTR_MAX];
    let length = match llistxattr(path, names.as_mut_slice()) {
        // A file system without extended attributes has none.
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    let mut xattrs = BTreeMap::new();
    for name in names[..length].split_inclusive(|&byte| byte == 0) {
        let name = CStr::from_bytes_with_nul(name).map_err(io::Error::other)?;
        let mut value = vec![0; XATTR_MAX];
        let length = lgetxattr(path, name, value.as_mut_slice())?;
        value.truncate(length);
        xattrs.insert(OsStr::from_bytes(name.to_bytes()).to_owned(), value);
    }
    Ok(xattrs)
}
