//! Trees and images to test with: short ways to say an inode, and an image with its data area.

use std::collections::BTreeMap;

use frazil_erofs::{
    BLOCK_SIZE, DataAddress, Image, Inode, InodeIndex, InodeKind, Metadata, Params, Timestamp, Tree, write,
};

pub(crate) const UUID: [u8; 16] = *b"frazil test uuid";

/// An inode of ordinary attributes.
pub(crate) fn inode(kind: InodeKind) -> Inode {
    Inode {
        kind,
        mode: 0o755,
        uid: 1000,
        gid: 100_000,
        mtime: Timestamp { seconds: 1_700_000_000, nanos: 123_456_789 },
        xattrs: Vec::new(),
    }
}

pub(crate) fn directory() -> Inode {
    inode(InodeKind::Directory(BTreeMap::new()))
}

pub(crate) fn file(size: u64, block: u64) -> Inode {
    inode(InodeKind::File { size, data: DataAddress(block) })
}

pub(crate) fn symlink(target: &[u8]) -> Inode {
    inode(InodeKind::Symlink(target.to_vec()))
}

/// Adds an inode under a name.
pub(crate) fn add(tree: &mut Tree, parent: InodeIndex, name: &[u8], inode: Inode) -> InodeIndex {
    let index = tree.push(inode);
    assert_eq!(tree.link(parent, name.to_vec(), index), None);
    index
}

/// A whole image in memory.
pub(crate) struct SampleImage {
    pub(crate) metadata: Metadata,
    /// Metadata area and data area.
    pub(crate) bytes: Vec<u8>,
}

/// Writes a tree and puts a data area of patterned blocks behind it.
pub(crate) fn image_of(tree: &Tree, data_blocks: u64) -> SampleImage {
    let metadata = write(tree, &Params { uuid: UUID, data_blocks }).unwrap();
    assert_eq!(metadata.bytes.len() as u64, metadata.blocks * BLOCK_SIZE as u64);
    let bytes = [&metadata.bytes[..], &data_area(data_blocks)].concat();
    SampleImage { metadata, bytes }
}

/// Bytes in which neighbouring blocks differ.
pub(crate) fn data_area(blocks: u64) -> Vec<u8> {
    let len = blocks as usize * BLOCK_SIZE;
    (0..len).map(|at| (at.wrapping_mul(31) ^ (at / BLOCK_SIZE).wrapping_mul(89)) as u8).collect()
}

pub(crate) fn open(bytes: &[u8]) -> Image<&[u8]> {
    Image::open(bytes).unwrap()
}
