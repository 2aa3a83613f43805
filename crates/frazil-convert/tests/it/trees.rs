//! What can be seen of a tree, in an image and on disk, so that the two can be compared.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use frazil_convert::verify::AddressSpace;
use frazil_erofs::{FileType, Image, ReadAt, WalkLimits};
use rustix::fs::{lgetxattr, llistxattr, major, minor};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use crate::workbench::StoredImage;

/// All of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) file_type: FileType,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    /// None for what a tool made up.
    pub(crate) mtime: Option<(i64, u32)>,
    pub(crate) size: u64,
    pub(crate) content: String,
    pub(crate) target: Vec<u8>,
    pub(crate) device: Option<(u32, u32)>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The first path of the same file.
    pub(crate) first: Vec<u8>,
}

pub(crate) type Trees = BTreeMap<Vec<u8>, Seen>;

struct Space(Arc<StoredImage>, Handle);

impl ReadAt for Space {
    type Error = std::io::Error;

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        buf.copy_from_slice(&self.1.block_on(self.0.read(offset, buf.len()))?);
        Ok(())
    }
}

pub(crate) fn in_image(image: Arc<StoredImage>, runtime: Handle) -> Trees {
    let image = Image::open(Space(image, runtime)).unwrap();
    let (mut trees, mut firsts) = (Trees::new(), HashMap::new());
    for entry in image.walk(WalkLimits::default()) {
        let entry = entry.unwrap();
        let inode = entry.inode;
        let regular = inode.file_type == FileType::Regular;
        let seen = Seen {
            file_type: inode.file_type,
            mode: u32::from(inode.mode) & 0o7777,
            owner: (inode.uid, inode.gid),
            mtime: Some((inode.mtime.seconds, inode.mtime.nanos)),
            size: if regular { inode.size } else { 0 },
            content: if regular {
                let mut offset = 0;
                hash(inode.size, |buffer| {
                    let count = image.read(&inode, offset, buffer).unwrap();
                    offset += count as u64;
                    count
                })
            } else {
                String::new()
            },
            target: if inode.file_type == FileType::Symlink {
                image.read_link(&inode).unwrap()
            } else {
                Vec::new()
            },
            device: inode.device.map(|device| (device.major, device.minor)),
            xattrs: image.xattrs(&inode).unwrap(),
            first: first(&mut firsts, inode.nid.0, inode.file_type, &entry.path),
        };
        trees.insert(entry.path, seen);
    }
    trees
}

pub(crate) fn on_disk(root: &Path) -> Trees {
    let (mut trees, mut firsts) = (Trees::new(), HashMap::new());
    let mut pending = vec![PathBuf::new()];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let mut paths = Vec::new();
    while let Some(path) = pending.pop() {
        if fs::symlink_metadata(root.join(&path)).unwrap().is_dir() {
            pending.extend(
                fs::read_dir(root.join(&path)).unwrap().map(|entry| path.join(entry.unwrap().file_name())),
            );
        }
        paths.push(path);
    }
    paths.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    for path in paths {
        let full = if path.as_os_str().is_empty() { root.to_owned() } else { root.join(&path) };
        let stat = fs::symlink_metadata(&full).unwrap();
        let file_type = match stat.mode() & 0o170_000 {
            0o040_000 => FileType::Directory,
            0o120_000 => FileType::Symlink,
            0o020_000 => FileType::CharDevice,
            0o060_000 => FileType::BlockDevice,
            0o010_000 => FileType::Fifo,
            _ => FileType::Regular,
        };
        let regular = file_type == FileType::Regular;
        let is_device = matches!(file_type, FileType::CharDevice | FileType::BlockDevice);
        // What a tool makes for want of an entry has the time of its making.
        let made_up = stat.mtime() > now - 86_400;
        let path = path.as_os_str().as_bytes().to_vec();
        let seen = Seen {
            file_type,
            mode: stat.mode() & 0o7777,
            owner: (stat.uid(), stat.gid()),
            mtime: (!made_up).then_some((stat.mtime(), stat.mtime_nsec() as u32)),
            size: if regular { stat.size() } else { 0 },
            content: if regular {
                let mut file = fs::File::open(&full).unwrap();
                hash(stat.size(), |buffer| file.read(buffer).unwrap())
            } else {
                String::new()
            },
            target: fs::read_link(&full)
                .map(|target| target.as_os_str().as_bytes().to_vec())
                .unwrap_or_default(),
            device: is_device.then(|| (major(stat.rdev()), minor(stat.rdev()))),
            xattrs: xattrs(&full),
            first: first(&mut firsts, stat.ino(), file_type, &path),
        };
        trees.insert(path, seen);
    }
    trees
}

fn first(firsts: &mut HashMap<u64, Vec<u8>>, inode: u64, file_type: FileType, path: &[u8]) -> Vec<u8> {
    if file_type == FileType::Directory {
        return path.to_vec();
    }
    let first = firsts.entry(inode).or_insert_with(|| path.to_vec());
    if path < first.as_slice() {
        *first = path.to_vec();
    }
    first.clone()
}

fn hash(size: u64, mut read: impl FnMut(&mut [u8]) -> usize) -> String {
    let (mut hasher, mut buffer, mut left) = (Sha256::new(), vec![0; 1 << 20], size);
    while left > 0 {
        let count = read(&mut buffer);
        assert!(count > 0, "the file ends early");
        hasher.update(&buffer[..count]);
        left -= count as u64;
    }
    hex::encode(hasher.finalize())
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 65_536];
    let len = llistxattr(path, names.as_mut_slice()).unwrap_or(0);
    let mut xattrs: Vec<_> = names[..len]
        .split_inclusive(|byte| *byte == 0)
        .map(|name| {
            let name = CStr::from_bytes_with_nul(name).unwrap();
            let mut value = vec![0; 65_536];
            let len = lgetxattr(path, name, value.as_mut_slice()).unwrap();
            value.truncate(len);
            (name.to_bytes().to_vec(), value)
        })
        .collect();
    xattrs.sort();
    xattrs
}

/// Fails with every difference, unless the trees are the same in all that the expected one knows.
#[track_caller]
pub(crate) fn assert_same(expected: &Trees, found: &Trees) {
    let mut differences = Vec::new();
    let paths: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    for path in paths {
        let (mut expected, mut found) = (expected.get(path).cloned(), found.get(path).cloned());
        if let (Some(expected), Some(found)) = (&mut expected, &mut found)
            && expected.mtime.is_none()
        {
            assert!(found.file_type == FileType::Directory, "only directories are made up");
            found.mtime = None;
        }
        if expected != found {
            differences
                .push(format!("{}:\n  expected {expected:?}\n  found    {found:?}", path.escape_ascii()));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
