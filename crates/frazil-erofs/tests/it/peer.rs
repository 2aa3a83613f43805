//! The crate `erofs-rs`, a reader that this project did not write, as an oracle.

use std::collections::BTreeMap;
use std::io::Read;

use erofs_rs::EroFS;
use erofs_rs::backend::SliceImage;
use frazil_erofs::{DeviceNumber, FileType, Timestamp};

use crate::listing::{Listing, Seen, number_links};

/// What `erofs-rs` sees in an image.
pub(crate) fn read(bytes: &[u8]) -> Listing {
    let image = EroFS::new(SliceImage::new(bytes)).unwrap();
    let root = image.get_inode(image.super_block().root_inode_id()).unwrap();
    let mut paths = BTreeMap::from([(Vec::new(), (root.id(), see(&image, root)))]);
    for entry in image.walk_dir("/").unwrap() {
        let entry = entry.unwrap();
        let path = entry.dir_entry.path().as_bytes()[1..].to_vec();
        let seen = see(&image, entry.inode);
        assert_eq!(paths.insert(path, (entry.inode.id(), seen)), None);
    }
    number_links(paths)
}

fn see(image: &EroFS<SliceImage<'_>>, inode: erofs_rs::types::Inode) -> Seen {
    use erofs_rs::types::Layout;

    let raw = inode.file_type().as_raw_mode();
    let file_type = match raw & 0o170_000 {
        0o010_000 => FileType::Fifo,
        0o020_000 => FileType::CharDevice,
        0o040_000 => FileType::Directory,
        0o060_000 => FileType::BlockDevice,
        0o100_000 => FileType::Regular,
        0o120_000 => FileType::Symlink,
        _ => FileType::Socket,
    };
    let (seconds, nanos) = inode.modified_unix();
    let mut content = Vec::new();
    match file_type {
        FileType::Regular => {
            assert!(matches!(inode.layout(), Some(Layout::FlatPlain)));
            image.open_inode_file(inode).unwrap().read_to_end(&mut content).unwrap();
        }
        FileType::Symlink => content = image.read_link_inode(inode).unwrap().as_bytes().to_vec(),
        _ => {}
    }
    Seen {
        file_type,
        mode: std::os::unix::fs::PermissionsExt::mode(&inode.permissions()) as u16,
        uid: inode.uid(),
        gid: inode.gid(),
        nlink: inode.nlink(),
        mtime: Timestamp { seconds, nanos },
        device: inode.device().map(|(major, minor)| DeviceNumber { major, minor }),
        xattrs: image.xattrs_inode(inode).unwrap(),
        content,
        first_path: Vec::new(),
    }
}
