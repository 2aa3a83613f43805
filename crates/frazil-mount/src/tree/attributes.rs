//! An EROFS inode as FUSE's attributes, and nids as FUSE's inode numbers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use frazil_erofs::{DeviceNumber, DiskInode, FileType, Nid, Timestamp};
use fuser::{FileAttr, INodeNo};

/// Where a nid goes that FUSE has other plans for: 0 is no inode, 1 is the root.
const OUT_OF_THE_WAY: u64 = 1 << 62;

/// The numbering between EROFS and FUSE: a nid is its own inode number, so that `st_ino` is the same through
/// both faces, except for the root and for what would be taken for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbering {
    root: Nid,
}

impl Numbering {
    pub(super) fn new(root: Nid) -> Self {
        Self { root }
    }

    pub(super) fn ino(self, nid: Nid) -> INodeNo {
        match nid {
            nid if nid == self.root => INodeNo::ROOT,
            Nid(low @ 0..=1) => INodeNo(low | OUT_OF_THE_WAY),
            Nid(number) => INodeNo(number),
        }
    }

    pub(super) fn nid(self, ino: INodeNo) -> Nid {
        match ino {
            INodeNo::ROOT => self.root,
            INodeNo(number) => Nid(number & !OUT_OF_THE_WAY),
        }
    }

    pub(super) fn attributes(self, inode: &DiskInode) -> FileAttr {
        let mtime = system_time(inode.mtime);
        FileAttr {
            ino: self.ino(inode.nid),
            size: inode.size,
            blocks: inode.size.div_ceil(4096).saturating_mul(8),
            atime: mtime,
            mtime,
            ctime: mtime,
            crtime: mtime,
            kind: kind(inode.file_type),
            perm: inode.mode,
            nlink: inode.nlink,
            uid: inode.uid,
            gid: inode.gid,
            rdev: inode.device.map_or(0, packed),
            blksize: 4096,
            flags: 0,
        }
    }
}

pub(super) fn kind(file_type: FileType) -> fuser::FileType {
    match file_type {
        FileType::Regular => fuser::FileType::RegularFile,
        FileType::Directory => fuser::FileType::Directory,
        FileType::CharDevice => fuser::FileType::CharDevice,
        FileType::BlockDevice => fuser::FileType::BlockDevice,
        FileType::Fifo => fuser::FileType::NamedPipe,
        FileType::Socket => fuser::FileType::Socket,
        FileType::Symlink => fuser::FileType::Symlink,
    }
}

/// The kernel's 32-bit packing of a device number.
fn packed(device: DeviceNumber) -> u32 {
    (device.minor & 0xff) | (device.major << 8) | ((device.minor & !0xff) << 12)
}

fn system_time(time: Timestamp) -> SystemTime {
    let whole = Duration::from_secs(time.seconds.unsigned_abs());
    let seconds = match time.seconds {
        0.. => UNIX_EPOCH.checked_add(whole),
        _ => UNIX_EPOCH.checked_sub(whole),
    };
    seconds
        .and_then(|seconds| seconds.checked_add(Duration::from_nanos(time.nanos.into())))
        .unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_way_to_fuse_and_back_wherever_the_root_is() {
        for root in [0, 1, 36, 1 << 40] {
            let numbering = Numbering::new(Nid(root));
            assert_eq!(numbering.ino(Nid(root)), INodeNo::ROOT);
            for nid in [0, 1, 2, 36, 1 << 40] {
                assert_eq!(numbering.nid(numbering.ino(Nid(nid))), Nid(nid), "root {root}");
                assert_eq!(numbering.ino(Nid(nid)) == INodeNo::ROOT, nid == root);
                assert_ne!(numbering.ino(Nid(nid)), INodeNo(0));
            }
        }
    }

    #[test]
    fn a_time_before_1970_keeps_its_nanoseconds() {
        let time = system_time(Timestamp { seconds: -2, nanos: 250_000_000 });
        assert_eq!(UNIX_EPOCH.duration_since(time).unwrap(), Duration::from_millis(1750));
    }
}
