//! Large images: many inodes, deep trees, files beyond 4 GiB, and how much of the metadata an access touches.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

use frazil_erofs::{
    BLOCK_SIZE, DirCookie, DiskInode, Image, InodeIndex, OutOfRange, ReadAt, Tree, WalkLimits,
};

use crate::kernel::with_mounted;
use crate::sample::{add, directory, file, image_of, open};

/// The size of piece that a lazily fetched metadata area is cut into.
const WINDOW: u64 = 128 * 1024;

/// Remembers which windows were read.
struct Watched<'b> {
    bytes: &'b [u8],
    windows: RefCell<BTreeSet<u64>>,
}

impl ReadAt for Watched<'_> {
    type Error = OutOfRange;

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), OutOfRange> {
        let last = offset + buf.len() as u64 - 1;
        self.windows.borrow_mut().extend(offset / WINDOW..=last / WINDOW);
        self.bytes.read_at(offset, buf)
    }
}

fn descend(image: &Image<&Watched<'_>>, path: &str) -> DiskInode {
    let mut inode = image.inode(image.root()).unwrap();
    for name in path.split('/') {
        let entry = image.lookup(&inode, name.as_bytes()).unwrap().unwrap();
        inode = image.inode(entry.nid).unwrap();
    }
    inode
}

/// A tree of the shape of a Linux image: a few large directories near the root, packages deep below.
fn system() -> Tree {
    let mut tree = Tree::new(directory());
    let usr = add(&mut tree, Tree::ROOT, b"usr", directory());
    for name in ["bin", "lib", "share"] {
        let large = add(&mut tree, usr, name.as_bytes(), directory());
        for number in 0..2_000 {
            add(&mut tree, large, format!("a-file-of-some-name-{number}").as_bytes(), file(1, 0));
        }
        let packages = add(&mut tree, large, b"packages", directory());
        for number in 0..200 {
            package(&mut tree, packages, number);
        }
    }
    tree
}

fn package(tree: &mut Tree, packages: InodeIndex, number: usize) {
    let package = add(tree, packages, format!("package-{number}").as_bytes(), directory());
    for module in 0..10 {
        let module = add(tree, package, format!("module-{module}").as_bytes(), directory());
        for file_number in 0..20 {
            add(tree, module, format!("source-{file_number}").as_bytes(), file(1, 0));
        }
    }
}

#[test]
fn listing_a_large_directory_with_attributes_touches_few_windows() {
    let bytes = image_of(&system(), 1).bytes;
    let watched = Watched { bytes: &bytes, windows: RefCell::default() };
    assert!(bytes.len() as u64 > 60 * WINDOW, "the image is large enough to tell");
    let image = Image::open(&watched).unwrap();
    let lib = descend(&image, "usr/lib");
    for entry in image.read_dir(&lib, DirCookie::default()).unwrap() {
        image.inode(entry.unwrap().nid).unwrap();
    }
    // 2,001 entries take 200 KiB, and the way from the root another window.
    assert!(watched.windows.borrow().len() <= 4, "{:?}", watched.windows);
}

#[test]
fn reading_all_of_one_deep_package_touches_few_windows() {
    let bytes = image_of(&system(), 1).bytes;
    let watched = Watched { bytes: &bytes, windows: RefCell::default() };
    let image = Image::open(&watched).unwrap();
    for module in 0..10 {
        let module = descend(&image, &format!("usr/share/packages/package-77/module-{module}"));
        for entry in image.read_dir(&module, DirCookie::default()).unwrap() {
            image.inode(entry.unwrap().nid).unwrap();
        }
    }
    assert!(watched.windows.borrow().len() <= 6, "{:?}", watched.windows);
}

#[test]
fn hundreds_of_thousands_of_inodes_are_written_and_walked() {
    let mut tree = Tree::new(directory());
    for outer in 0..300 {
        let parent = add(&mut tree, Tree::ROOT, format!("outer-{outer}").as_bytes(), directory());
        for inner in 0..1_000 {
            add(&mut tree, parent, format!("inner-{inner}").as_bytes(), file(1, 0));
        }
    }
    let image = image_of(&tree, 1);
    assert_eq!(image.metadata.inodes, 300_301);
    // 64 bytes of inode, 22 of dirent and name, and little else.
    assert!(image.metadata.bytes.len() < 300_301 * 90, "{}", image.metadata.bytes.len());
    assert_eq!(open(&image.bytes).walk(WalkLimits::default()).map(Result::unwrap).count(), 300_301);
}

#[test]
fn a_tree_of_three_thousand_levels_is_written_and_walked() {
    let mut tree = Tree::new(directory());
    let mut deepest = Tree::ROOT;
    for level in 0..3_000 {
        deepest = add(&mut tree, deepest, level.to_string().as_bytes(), directory());
    }
    let image = image_of(&tree, 0);
    let last = open(&image.bytes).walk(WalkLimits::default()).map(Result::unwrap).last().unwrap();
    assert_eq!(last.path.iter().filter(|byte| **byte == b'/').count(), 2_999);
}

#[test]
fn a_file_beyond_four_gibibytes_is_read_by_the_kernel_to_its_last_byte() {
    let size = 5 * (1 << 30) + 1234_u64;
    let blocks = size.div_ceil(BLOCK_SIZE as u64) + 1;
    let mut tree = Tree::new(directory());
    add(&mut tree, Tree::ROOT, b"huge", file(size, 1));
    let params = frazil_erofs::Params { uuid: [7; 16], data_blocks: blocks };
    let metadata = frazil_erofs::write(&tree, &params).unwrap();

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let image = File::create(&path).unwrap();
    image.write_all_at(&metadata.bytes, 0).unwrap();
    image.set_len((metadata.blocks + blocks) * BLOCK_SIZE as u64).unwrap();
    let data_start = (metadata.blocks + 1) * BLOCK_SIZE as u64;
    image.write_all_at(b"the end", data_start + size - 7).unwrap();

    with_mounted(&path, |root| {
        let huge = File::open(root.join("huge")).unwrap();
        assert_eq!(huge.metadata().unwrap().size(), size);
        let mut end = [0; 16];
        assert_eq!(huge.read_at(&mut end, size - 7).unwrap(), 7);
        assert_eq!(&end[..7], b"the end");
    });
}
