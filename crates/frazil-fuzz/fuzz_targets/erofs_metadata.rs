//! EROFS metadata: any bytes, opened and explored with every operation that the reader has.

#![no_main]

use frazil_erofs::{DirCookie, DiskInode, Image, WalkLimits};
use libfuzzer_sys::fuzz_target;

/// Where the superblock's compatible features are; the lowest bit says that there is a checksum.
const FEATURES: usize = 1024 + 8;

/// An input of some kilobytes holds no more than this; without it, directories that share blocks would.
const LIMITS: WalkLimits = WalkLimits { depth: 64, entries: 10_000 };

/// Entries of one directory that are listed a second time, from a cookie.
const LISTED_MAX: usize = 1_000;

fuzz_target!(|bytes: &[u8]| {
    // A fuzzer does not find checksums: go past this one.
    let mut bytes = bytes.to_vec();
    if let Some(features) = bytes.get_mut(FEATURES) {
        *features &= !1;
    }
    let Ok(image) = Image::open(bytes.as_slice()) else { return };
    for entry in image.walk(LIMITS) {
        let Ok(entry) = entry else { break };
        explore(&image, &entry.inode);
    }
});

fn explore(image: &Image<&[u8]>, inode: &DiskInode) {
    if let Ok(xattrs) = image.xattrs(inode) {
        for (name, _) in &xattrs {
            let _ = image.xattr(inode, name);
        }
    }
    let _ = image.read_link(inode);
    let mut data = [0; 8192];
    for offset in [0, inode.size.saturating_sub(100), u64::MAX] {
        let _ = image.read(inode, offset, &mut data);
    }
    let Ok(entries) = image.read_dir(inode, DirCookie(13)) else { return };
    for entry in entries.take(LISTED_MAX).map_while(Result::ok) {
        let _ = image.lookup(inode, &entry.name);
    }
}
