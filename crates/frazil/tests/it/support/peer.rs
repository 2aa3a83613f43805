//! The crate `erofs-rs`, a reader that this project did not write, as one more judge of a block image.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use erofs_rs::EroFS;
use erofs_rs::backend::SliceImage;
use erofs_rs::types::Inode;
use sha2::{Digest, Sha256};

use super::tree::{Kind, Metadata, Tree};

/// Writes down the tree that `erofs-rs` sees in an image.
#[track_caller]
pub(crate) fn snapshot(image: &[u8]) -> Tree {
    let image = EroFS::new(SliceImage::new(image)).unwrap();
    let root = image.get_inode(image.super_block().root_inode_id()).unwrap();
    let mut tree = Tree::from([(PathBuf::new(), metadata(&image, root))]);
    let mut inodes = BTreeMap::<u64, Vec<PathBuf>>::new();
    for entry in image.walk_dir("/").unwrap() {
        let entry = entry.unwrap();
        let path = Path::new(OsStr::from_bytes(&entry.dir_entry.path().as_bytes()[1..])).to_owned();
        let node = metadata(&image, entry.inode);
        if node.kind != Kind::Directory {
            inodes.entry(entry.inode.id()).or_default().push(path.clone());
        }
        assert_eq!(tree.insert(path, node), None, "a path is listed twice");
    }
    for mut paths in inodes.into_values().filter(|paths| paths.len() > 1) {
        paths.sort();
        for path in &paths {
            tree.get_mut(path).unwrap().hardlink_group = Some(paths[0].clone());
        }
    }
    tree
}

fn metadata(image: &EroFS<SliceImage<'_>>, inode: Inode) -> Metadata {
    let kind = kind(image, inode);
    let (seconds, nanos) = inode.modified_unix();
    let xattrs = image.xattrs_inode(inode).unwrap().into_iter();
    Metadata {
        mode: inode.permissions().mode(),
        uid: inode.uid(),
        gid: inode.gid(),
        mtime: (seconds, i64::from(nanos)),
        names: if kind == Kind::Directory { 1 } else { u64::from(inode.nlink()) },
        hardlink_group: None,
        xattrs: xattrs.map(|(name, value)| (OsStr::from_bytes(&name).to_owned(), value)).collect(),
        kind,
    }
}

fn kind(image: &EroFS<SliceImage<'_>>, inode: Inode) -> Kind {
    let (major, minor) = inode.device().unwrap_or_default();
    match inode.file_type().as_raw_mode() & libc::S_IFMT {
        libc::S_IFDIR => Kind::Directory,
        libc::S_IFLNK => {
            let target = image.read_link_inode(inode).unwrap();
            Kind::Symlink { target: OsString::from(OsStr::from_bytes(target.as_bytes())).into() }
        }
        libc::S_IFCHR => Kind::CharDevice { major, minor },
        libc::S_IFBLK => Kind::BlockDevice { major, minor },
        libc::S_IFIFO => Kind::Fifo,
        libc::S_IFSOCK => Kind::Socket,
        _ => {
            let (size, sha256) = digest(image.open_inode_file(inode).unwrap()).unwrap();
            Kind::File { size, sha256 }
        }
    }
}

fn digest(mut file: impl Read) -> io::Result<(u64, String)> {
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((size, hex::encode(hash.finalize()))),
            n => {
                hash.update(&buffer[..n]);
                size += n as u64;
            }
        }
    }
}
