//! The format, pinned: the bytes of one small tree that has everything.

use std::fmt::Write;

use frazil_erofs::{Inode, InodeKind, Timestamp, Tree};

use crate::sample::{add, directory, file, image_of, inode, symlink};

/// Offsets, bytes and text of all lines of 16 bytes that are not zero.
const SMALL_TREE: &str = include_str!("golden/small_tree.hex");

fn small_tree() -> Tree {
    let mut tree = Tree::new(directory());
    let bin = add(&mut tree, Tree::ROOT, b"bin", directory());
    let tool = Inode {
        mode: 0o4755,
        xattrs: vec![
            (
                b"security.capability".to_vec(),
                vec![1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ),
            (b"user.origin".to_vec(), b"frazil".to_vec()),
        ],
        ..file(5000, 1)
    };
    let tool = add(&mut tree, bin, b"tool", tool);
    tree.link(bin, b"alias".to_vec(), tool);
    add(&mut tree, bin, b"empty", file(0, 0));
    add(&mut tree, Tree::ROOT, b"link", symlink(b"bin/tool"));
    let old = Timestamp { seconds: -1, nanos: 999_999_999 };
    add(
        &mut tree,
        Tree::ROOT,
        b"null",
        Inode { mtime: old, ..inode(InodeKind::CharDevice { major: 1, minor: 3 }) },
    );
    add(&mut tree, Tree::ROOT, b"disk", inode(InodeKind::BlockDevice { major: 259, minor: 70_000 }));
    add(&mut tree, Tree::ROOT, b"fifo", inode(InodeKind::Fifo));
    add(&mut tree, Tree::ROOT, b"socket", inode(InodeKind::Socket));
    tree
}

fn dump(bytes: &[u8]) -> String {
    let mut dump = String::new();
    for (number, line) in bytes.chunks(16).enumerate().filter(|(_, line)| line.iter().any(|byte| *byte != 0))
    {
        write!(dump, "{:06x} ", number * 16).unwrap();
        for byte in line {
            write!(dump, " {byte:02x}").unwrap();
        }
        let text = line.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' });
        writeln!(dump, "  {}", text.collect::<String>()).unwrap();
    }
    dump
}

#[test]
fn a_small_tree_has_exactly_these_bytes() {
    let image = image_of(&small_tree(), 3);
    assert_eq!(image.metadata.bytes.len(), 4096);
    let dump = dump(&image.metadata.bytes);
    assert_eq!(dump, SMALL_TREE, "the format changed; if that is meant, this is the new dump:\n{dump}");
}

#[test]
fn the_small_tree_is_seen_alike_by_every_reader() {
    crate::worlds::assert_seen_alike_in_memory(&small_tree(), 3);
    crate::worlds::assert_seen_alike_on_disk(&small_tree(), 3);
}
