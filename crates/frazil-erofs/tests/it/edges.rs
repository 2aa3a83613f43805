//! Sizes at which a layout changes: inline to plain, one block to two, the largest that fits.

use frazil_erofs::{
    ErofsError, Inode, InodeIndex, InodeKind, Params, Tree, XATTR_BODY_MAX, XATTR_VALUE_MAX, write,
};

use crate::sample::{UUID, add, directory, file, image_of, inode, open, symlink};
use crate::worlds::{assert_seen_alike_in_memory, assert_seen_alike_on_disk};

/// Bytes of an inode; what is inline behind it shares its block of 4,096.
const INODE: usize = 64;
/// Bytes that `.` and `..` take in a directory.
const DOTS: usize = 12 + 1 + 12 + 2;

fn assert_seen_alike(tree: &Tree, data_blocks: u64) {
    assert_seen_alike_in_memory(tree, data_blocks);
    assert_seen_alike_on_disk(tree, data_blocks);
}

/// Fills a directory with fifos until its content has `len` bytes.
fn fill(tree: &mut Tree, parent: InodeIndex, len: usize) {
    let mut missing = len - DOTS;
    for number in 0.. {
        let name_len = match missing {
            0 => break,
            // Leave enough for the last name to have its number.
            268..=281 => 200,
            _ => (missing - 12).min(255),
        };
        let mut name = vec![b'n'; name_len];
        name[..3].copy_from_slice(format!("{number:03}").as_bytes());
        add(tree, parent, &name, inode(InodeKind::Fifo));
        missing -= 12 + name_len;
    }
}

#[test]
fn symlinks_of_every_length_around_the_inline_limit_are_seen_alike() {
    let mut tree = Tree::new(directory());
    for len in [1, 2, 59, 60].into_iter().chain(4096 - INODE - 8..=4095) {
        let target: Vec<u8> = (0..len).map(|at| b'a' + (at % 26) as u8).collect();
        add(&mut tree, Tree::ROOT, format!("to-{len}").as_bytes(), symlink(&target));
    }
    assert_seen_alike(&tree, 0);
}

#[test]
fn directories_of_every_size_around_the_inline_limit_and_a_full_block_are_seen_alike() {
    let sizes = || [DOTS, DOTS + 15].into_iter().chain(4096 - INODE - 6..=4096);
    let mut tree = Tree::new(directory());
    for size in sizes() {
        let parent = add(&mut tree, Tree::ROOT, format!("{size}").as_bytes(), directory());
        fill(&mut tree, parent, size);
    }
    let image = image_of(&tree, 0);
    let reader = open(&image.bytes);
    let root = reader.inode(reader.root()).unwrap();
    for size in sizes() {
        let entry = reader.lookup(&root, size.to_string().as_bytes()).unwrap().unwrap();
        assert_eq!(reader.inode(entry.nid).unwrap().size, size as u64);
    }
    assert_seen_alike(&tree, 0);
}

#[test]
fn directories_that_spill_into_further_blocks_are_seen_alike() {
    let mut tree = Tree::new(directory());
    for size in (2 * 4096 - INODE - 3..2 * 4096 + 3).chain([100_000]) {
        let parent = add(&mut tree, Tree::ROOT, format!("{size}").as_bytes(), directory());
        fill(&mut tree, parent, size);
    }
    assert_seen_alike(&tree, 0);
}

#[test]
fn xattrs_that_leave_just_enough_or_too_little_room_for_a_tail_are_seen_alike() {
    let mut tree = Tree::new(directory());
    for room in (0..40).step_by(4) {
        let value = vec![b'v'; 4096 - INODE - 12 - 4 - 1 - 20 + room];
        let xattrs = vec![(b"trusted.v".to_vec(), value)];
        let with_xattrs = |kind| Inode { xattrs: xattrs.clone(), ..inode(kind) };
        let link = with_xattrs(InodeKind::Symlink(b"twenty-bytes-of-link".to_vec()));
        add(&mut tree, Tree::ROOT, format!("link-{room}").as_bytes(), link);
        let empty = with_xattrs(directory().kind);
        add(&mut tree, Tree::ROOT, format!("directory-{room}").as_bytes(), empty);
    }
    assert_seen_alike(&tree, 0);
}

/// Xattrs that take `XATTR_BODY_MAX` bytes and `excess` more.
fn xattrs_of_the_largest_body(excess: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let of = |name: &[u8], len| (name.to_vec(), vec![b'x'; len]);
    let large = XATTR_VALUE_MAX - 4;
    let rest = XATTR_BODY_MAX - 12 - 3 * (4 + 1 + large).next_multiple_of(4) - 4 - 1;
    let rest = rest + excess;
    vec![of(b"trusted.a", large), of(b"trusted.b", large), of(b"trusted.c", large), of(b"trusted.d", rest)]
}

#[test]
fn the_largest_xattrs_are_carried_and_one_byte_more_is_refused() {
    let with = |excess| {
        let root = Inode { xattrs: xattrs_of_the_largest_body(excess), ..directory() };
        let mut tree = Tree::new(root);
        add(&mut tree, Tree::ROOT, b"after", file(10, 0));
        tree
    };
    assert_seen_alike(&with(0), 1);
    let refusal = write(&with(1), &Params { uuid: UUID, data_blocks: 1 });
    let len = XATTR_BODY_MAX + 4;
    assert_eq!(refusal, Err(ErofsError::XattrsTooLarge { inode: Tree::ROOT, len }));
}

#[test]
fn files_of_every_size_around_a_block_are_seen_alike() {
    let mut tree = Tree::new(directory());
    for (block, size) in [0, 1, 4095, 4096, 4097, 8191, 8192, 8193].into_iter().enumerate() {
        add(&mut tree, Tree::ROOT, format!("{size}").as_bytes(), file(size, block as u64));
    }
    assert_seen_alike(&tree, 10);
}
