//! Bytes that are no sound image: whatever they are, reading them gives values or errors, and comes to an end.

use frazil_erofs::{
    BLOCK_SIZE, DirCookie, ErofsError, FileType, Image, Inode, Nid, ReadError, Tree, WalkLimits,
};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::sample::{add, directory, file, image_of, open, symlink};
use crate::strategy::{DATA_BLOCKS, trees};

const SUPERBLOCK: usize = 1024;
const LIMITS: WalkLimits = WalkLimits { depth: 64, entries: 5_000 };

/// Opens the image and tries every operation on everything that a walk meets.
fn explore(bytes: &[u8]) {
    let Ok(image) = Image::open(bytes) else { return };
    let mut read = vec![0; 10_000];
    for entry in image.walk(LIMITS) {
        let Ok(entry) = entry else { break };
        let inode = entry.inode;
        let _ = image.xattrs(&inode);
        let _ = image.xattr(&inode, b"user.a");
        let _ = image.read_link(&inode);
        let _ = image.read(&inode, inode.size.saturating_sub(5_000), &mut read);
        let _ = image.lookup(&inode, b"a");
        let _ = image.read_dir(&inode, DirCookie(12)).map(|entries| entries.take(1_000).count());
    }
}

/// Switches the superblock's checksum off, so that damage to its block gets past it.
fn without_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[SUPERBLOCK + 8] &= !1;
    bytes
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn flipped_bits_do_no_harm(tree in trees(), flips in prop::collection::vec((any::<Index>(), 0..8_u32), 1..30)) {
        let image = image_of(&tree, DATA_BLOCKS);
        let mut bytes = without_checksum(image.bytes);
        for (at, bit) in flips {
            let at = SUPERBLOCK + at.index(image.metadata.bytes.len() - SUPERBLOCK);
            bytes[at] ^= 1_u8 << bit;
        }
        explore(&bytes);
    }

    #[test]
    fn truncation_does_no_harm(tree in trees(), at in any::<Index>()) {
        let bytes = image_of(&tree, DATA_BLOCKS).bytes;
        explore(&bytes[..at.index(bytes.len())]);
    }

    #[test]
    fn arbitrary_metadata_does_no_harm(noise in prop::collection::vec(any::<u8>(), 2 * BLOCK_SIZE)) {
        let image = image_of(&Tree::new(directory()), 0);
        let mut bytes = without_checksum(image.bytes);
        // Keep the superblock and the root's first fields, so that the noise is entered.
        bytes.extend_from_slice(&noise);
        bytes[SUPERBLOCK + 36..SUPERBLOCK + 40].copy_from_slice(&3_u32.to_le_bytes());
        bytes[SUPERBLOCK + 128 + 64..BLOCK_SIZE].copy_from_slice(&noise[..BLOCK_SIZE - SUPERBLOCK - 192]);
        explore(&bytes);
    }
}

/// A small image without a checksum, with its root's and its only child's offsets.
fn prey(child: Inode) -> (Vec<u8>, usize, usize) {
    let mut tree = Tree::new(directory());
    add(&mut tree, Tree::ROOT, b"child", child);
    let bytes = without_checksum(image_of(&tree, 1).bytes);
    let image = open(&bytes);
    let root = image.inode(image.root()).unwrap();
    let child = image.lookup(&root, b"child").unwrap().unwrap().nid;
    let offset = |nid: Nid| nid.0 as usize * 32;
    let offsets = (offset(image.root()), offset(child));
    (bytes, offsets.0, offsets.1)
}

fn first_error(bytes: &[u8]) -> ErofsError {
    let image = open(bytes);
    let error = image.walk(LIMITS).find_map(Result::err).expect("the walk meets an error");
    match error {
        ReadError::Image(error) => error,
        ReadError::Source(error) => panic!("{error}"),
    }
}

#[test]
fn damage_in_the_superblocks_block_is_noticed() {
    let bytes = image_of(&Tree::new(directory()), 0).bytes;
    for at in [SUPERBLOCK + 14, SUPERBLOCK + 48, SUPERBLOCK + 200, BLOCK_SIZE - 1] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let error = Image::open(&bytes[..]).unwrap_err();
        assert!(matches!(error, ReadError::Image(ErofsError::ChecksumMismatch { .. })), "{error}");
    }
}

#[test]
fn what_is_no_erofs_or_needs_more_than_there_is_says_so() {
    let bytes = image_of(&Tree::new(directory()), 0).bytes;
    let opened = |at: usize, value: u8| {
        let mut bytes = without_checksum(bytes.clone());
        bytes[SUPERBLOCK + at] = value;
        Image::open(&bytes[..]).map(|image| image.len())
    };
    assert_eq!(opened(0, 0), Err(ReadError::Image(ErofsError::BadMagic { found: 0xe0f5_e100 })));
    assert_eq!(opened(12, 9), Err(ReadError::Image(ErofsError::UnsupportedBlockSize { bits: 9 })));
    assert_eq!(opened(80, 0x80), Err(ReadError::Image(ErofsError::UnsupportedFeatures { bits: 0x80 })));
    assert_eq!(opened(80, 0x07), Ok(BLOCK_SIZE as u64));
}

#[test]
fn a_directory_inside_itself_ends_a_walk() {
    let (mut bytes, root, child) = prey(directory());
    let nid = (root as u64 / 32).to_le_bytes();
    let child_nid = (child as u64 / 32).to_le_bytes();
    let at = bytes.windows(8).skip(root + 64).position(|window| window == child_nid).unwrap() + root + 64;
    bytes[at..at + 8].copy_from_slice(&nid);
    assert_eq!(first_error(&bytes), ErofsError::DirectoryLoop { nid: Nid(root as u64 / 32) });
}

#[test]
fn a_walk_ends_at_its_limits() {
    let mut tree = Tree::new(directory());
    let mut deepest = Tree::ROOT;
    for _ in 0..70 {
        deepest = add(&mut tree, deepest, b"deeper", directory());
    }
    assert!(matches!(first_error(&image_of(&tree, 0).bytes), ErofsError::TooDeep { limit: 64, .. }));
    let mut tree = Tree::new(directory());
    for number in 0..5_000 {
        add(&mut tree, Tree::ROOT, number.to_string().as_bytes(), file(0, 0));
    }
    assert_eq!(first_error(&image_of(&tree, 0).bytes), ErofsError::TooManyEntries { limit: 5_000 });
}

#[test]
fn a_size_beyond_the_image_is_noticed_before_anything_is_read_or_allocated() {
    let (mut bytes, _, child) = prey(file(100, 0));
    bytes[child + 8..child + 16].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(first_error(&bytes), ErofsError::OutsideImage { len: u64::MAX, .. }));
    let (mut bytes, _, child) = prey(file(100, 0));
    bytes[child + 16..child + 20].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(first_error(&bytes), ErofsError::OutsideImage { len: 100, .. }));
}

#[test]
fn compressed_and_chunk_based_inodes_are_refused_by_name() {
    for layout in [1_u8, 3, 4] {
        let (mut bytes, _, child) = prey(file(100, 0));
        bytes[child] = 1 | layout << 1;
        let nid = Nid(child as u64 / 32);
        assert_eq!(
            first_error(&bytes),
            ErofsError::UnsupportedInode { nid, format: (1 | layout << 1).into() }
        );
    }
}

#[test]
fn operations_on_the_wrong_type_of_inode_are_refused() {
    let (bytes, ..) = prey(symlink(b"target"));
    let image = open(&bytes);
    let root = image.inode(image.root()).unwrap();
    let link = image.inode(image.lookup(&root, b"child").unwrap().unwrap().nid).unwrap();
    assert_eq!(link.file_type, FileType::Symlink);
    let not_a_directory = ErofsError::NotADirectory { nid: link.nid };
    assert_eq!(image.lookup(&link, b"x"), Err(ReadError::Image(not_a_directory)));
    let not_a_symlink = ErofsError::NotASymlink { nid: root.nid };
    assert_eq!(image.read_link(&root), Err(ReadError::Image(not_a_symlink)));
    let not_a_file = ErofsError::NotARegularFile { nid: link.nid };
    assert_eq!(image.read(&link, 0, &mut [0]), Err(ReadError::Image(not_a_file)));
}
