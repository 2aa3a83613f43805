//! A source that does not have the bytes yet: operations fail, the bytes are fetched, operations go on.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use frazil_erofs::{DirCookie, FileType, Image, InodeKind, ReadAt, ReadError, Tree, WalkLimits};

use crate::sample::{add, directory, file, image_of, inode, open};

const PIECE: usize = 512;

/// Gives out only bytes whose pieces were fetched, and names the range that is missing otherwise.
struct Fetching<'b> {
    bytes: &'b [u8],
    fetched: RefCell<BTreeSet<usize>>,
}

#[derive(Debug)]
struct Missing(Range<usize>);

impl<'b> Fetching<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, fetched: RefCell::default() }
    }

    fn fetch(&self, missing: &Missing) {
        let pieces = missing.0.start / PIECE..missing.0.end.div_ceil(PIECE);
        self.fetched.borrow_mut().extend(pieces);
    }

    /// Forgets all but every third piece, as a cache under pressure would.
    fn evict(&self) {
        self.fetched.borrow_mut().retain(|piece| piece % 3 == 0);
    }

    /// Asks again and again, fetching what is missing in between.
    fn until_there<T>(&self, mut ask: impl FnMut() -> Result<T, ReadError<Missing>>) -> T {
        loop {
            match ask() {
                Ok(answer) => return answer,
                Err(ReadError::Source(missing)) => self.fetch(&missing),
                Err(ReadError::Image(error)) => panic!("{error}"),
            }
        }
    }
}

impl ReadAt for Fetching<'_> {
    type Error = Missing;

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Missing> {
        let range = offset as usize..offset as usize + buf.len();
        let mut pieces = range.start / PIECE..range.end.div_ceil(PIECE);
        if !pieces.all(|piece| self.fetched.borrow().contains(&piece)) {
            return Err(Missing(range));
        }
        buf.copy_from_slice(&self.bytes[range]);
        Ok(())
    }
}

fn forest() -> Tree {
    let mut tree = Tree::new(directory());
    for outer in 0..5 {
        let parent = add(&mut tree, Tree::ROOT, format!("outer-{outer}").as_bytes(), directory());
        for inner in 0..200 {
            let child = add(&mut tree, parent, format!("inner-{inner}").as_bytes(), directory());
            add(&mut tree, child, b"leaf", file(1, 0));
        }
    }
    tree
}

#[test]
fn a_walk_over_a_source_that_fetches_and_forgets_meets_every_path_once() {
    let bytes = image_of(&forest(), 1).bytes;
    let source = Fetching::new(&bytes);
    let image = source.until_there(|| Image::open(&source));
    let mut walk = image.walk(WalkLimits::default());
    let mut paths = Vec::new();
    while let Some(entry) = source.until_there(|| walk.next().transpose()) {
        paths.push(entry.path);
        if paths.len() % 10 == 0 {
            source.evict();
        }
    }
    let of_one_piece: Vec<_> =
        open(&bytes).walk(WalkLimits::default()).map(|entry| entry.unwrap().path).collect();
    assert_eq!(paths, of_one_piece);
    assert_eq!(paths.len(), 1 + 5 + 5 * 200 * 2);
}

#[test]
fn a_lookup_over_a_source_that_fetches_finds_every_name() {
    let bytes = image_of(&forest(), 1).bytes;
    let source = Fetching::new(&bytes);
    let image = source.until_there(|| Image::open(&source));
    let root = source.until_there(|| image.inode(image.root()));
    let outer = source.until_there(|| image.lookup(&root, b"outer-3")).unwrap();
    let outer = source.until_there(|| image.inode(outer.nid));
    for inner in 0..200 {
        source.evict();
        let name = format!("inner-{inner}");
        let entry = source.until_there(|| image.lookup(&outer, name.as_bytes())).unwrap();
        assert_eq!((entry.name, entry.file_type), (name.into_bytes(), FileType::Directory));
    }
    for absent in [&b"!"[..], b"inner-", b"inner-1999", b"zzz", b""] {
        assert_eq!(source.until_there(|| image.lookup(&outer, absent)), None);
    }
    assert_eq!(source.until_there(|| image.lookup(&outer, b"..")).unwrap().nid, image.root());
    assert_eq!(source.until_there(|| image.lookup(&outer, b".")).unwrap().nid, outer.nid);
}

#[test]
fn a_listing_goes_on_from_every_cookie_and_from_foreign_ones() {
    let mut tree = Tree::new(directory());
    for number in 0..1000 {
        add(&mut tree, Tree::ROOT, format!("entry-{number:05}").as_bytes(), inode(InodeKind::Fifo));
    }
    let bytes = image_of(&tree, 0).bytes;
    let image = open(&bytes);
    let root = image.inode(image.root()).unwrap();
    let list = |from| image.read_dir(&root, from).unwrap().map(|entry| entry.unwrap());
    let all: Vec<_> = list(DirCookie::default()).collect();
    assert_eq!(all.len(), 1002);
    assert!(all.is_sorted_by(|before, after| before.name < after.name));
    for (position, entry) in all.iter().enumerate() {
        assert_eq!(list(entry.next).next().as_ref(), all.get(position + 1));
    }
    for foreign in [1, 4095, 4096 + 13, root.size, u64::MAX] {
        let rest: Vec<_> = list(DirCookie(foreign)).collect();
        assert_eq!(rest, all[all.len() - rest.len()..], "cookie {foreign}");
    }
}

#[test]
fn no_read_goes_beyond_what_its_operation_needs() {
    let bytes = image_of(&forest(), 1).bytes;
    let source = Fetching::new(&bytes);
    let image = source.until_there(|| Image::open(&source));
    source.evict();
    source.fetched.borrow_mut().clear();
    source.until_there(|| image.inode(image.root()));
    assert!(source.fetched.borrow().len() <= 2, "an inode is 64 bytes");
    let root = source.until_there(|| image.inode(image.root()));
    source.fetched.borrow_mut().clear();
    assert_eq!(source.until_there(|| image.xattrs(&root)), []);
    assert!(source.fetched.borrow().is_empty(), "there are no xattrs to read");
}
