//! Trees that cannot be written, each refused with the error that names what is wrong.

use frazil_erofs::{
    DataAddress, ErofsError, Inode, InodeIndex, InodeKind, Metadata, Params, Timestamp, Tree, write,
};

use crate::sample::{UUID, add, directory, file, inode, symlink};

const CHILD: InodeIndex = InodeIndex(1);

fn write_with(data_blocks: u64, tree: &Tree) -> Result<Metadata, ErofsError> {
    write(tree, &Params { uuid: UUID, data_blocks })
}

/// What comes of a tree whose root has this one child.
fn refusal(child: Inode) -> ErofsError {
    let mut tree = Tree::new(directory());
    assert_eq!(add(&mut tree, Tree::ROOT, b"child", child), CHILD);
    write_with(10, &tree).unwrap_err()
}

fn with_xattrs(xattrs: &[(&[u8], &[u8])]) -> Inode {
    let xattrs = xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
    Inode { xattrs, ..file(0, 0) }
}

#[test]
fn a_root_must_be_a_directory() {
    assert_eq!(write_with(0, &Tree::new(file(0, 0))), Err(ErofsError::RootNotDirectory));
}

#[test]
fn names_that_no_directory_can_hold_are_refused() {
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0b", &[b'x'; 256]] {
        let mut tree = Tree::new(directory());
        add(&mut tree, Tree::ROOT, name, file(0, 0));
        let refusal = ErofsError::InvalidName { directory: Tree::ROOT, name: name.to_vec() };
        assert_eq!(write_with(0, &tree), Err(refusal));
    }
}

#[test]
fn a_name_for_nothing_is_refused() {
    let mut tree = Tree::new(directory());
    tree.link(Tree::ROOT, b"nothing".to_vec(), InodeIndex(9));
    let refusal = ErofsError::NoSuchInode { directory: Tree::ROOT, inode: InodeIndex(9) };
    assert_eq!(write_with(0, &tree), Err(refusal));
}

#[test]
fn directories_with_two_names_and_cycles_are_refused() {
    let mut tree = Tree::new(directory());
    let child = add(&mut tree, Tree::ROOT, b"one", directory());
    tree.link(Tree::ROOT, b"two".to_vec(), child);
    assert_eq!(write_with(0, &tree), Err(ErofsError::DirectoryLinkedTwice { inode: child }));

    let mut tree = Tree::new(directory());
    let child = add(&mut tree, Tree::ROOT, b"child", directory());
    tree.link(child, b"up".to_vec(), Tree::ROOT);
    assert_eq!(write_with(0, &tree), Err(ErofsError::DirectoryLinkedTwice { inode: Tree::ROOT }));
}

#[test]
fn data_outside_the_data_area_is_refused() {
    for (size, block) in [(4097, 9), (1, 10), (1, u64::MAX), (u64::MAX, 0)] {
        let refusal_of_file = refusal(file(size, block));
        assert_eq!(
            refusal_of_file,
            ErofsError::DataOutOfRange { inode: CHILD, block, size, data_blocks: 10 }
        );
    }
    let mut tree = Tree::new(directory());
    add(&mut tree, Tree::ROOT, b"empty files lie nowhere", file(0, u64::MAX));
    assert!(write_with(0, &tree).is_ok());
}

#[test]
fn an_image_beyond_the_32_bits_of_a_block_address_is_refused() {
    let tree = Tree::new(directory());
    let largest = u64::from(u32::MAX) - 2;
    assert!(write_with(largest, &tree).is_ok());
    assert_eq!(write_with(largest + 1, &tree), Err(ErofsError::ImageTooLarge { blocks: largest + 2 }));
    let refusal = write_with(u64::MAX, &tree);
    assert_eq!(refusal, Err(ErofsError::ImageTooLarge { blocks: u64::MAX }));
}

#[test]
fn attributes_that_have_no_place_on_disk_are_refused() {
    assert_eq!(
        refusal(Inode { mode: 0o10_644, ..file(0, 0) }),
        ErofsError::InvalidMode { inode: CHILD, mode: 0o10_644 }
    );
    let mtime = Timestamp { seconds: 0, nanos: 1_000_000_000 };
    assert_eq!(
        refusal(Inode { mtime, ..file(0, 0) }),
        ErofsError::InvalidTimestamp { inode: CHILD, nanos: 1_000_000_000 }
    );
    assert_eq!(
        refusal(inode(InodeKind::CharDevice { major: 4096, minor: 0 })),
        ErofsError::DeviceNumberTooLarge { inode: CHILD, major: 4096, minor: 0 }
    );
    for target in [&b""[..], b"a\0b", &[b'x'; 4096]] {
        assert_eq!(refusal(symlink(target)), ErofsError::InvalidSymlink { inode: CHILD, len: target.len() });
    }
}

#[test]
fn xattrs_that_erofs_cannot_carry_are_refused() {
    let name = b"system.nfs4_acl";
    assert_eq!(
        refusal(with_xattrs(&[(name, b"")])),
        ErofsError::XattrNotRepresentable { inode: CHILD, name: name.to_vec() }
    );
    assert_eq!(
        refusal(with_xattrs(&[(b"user.v", &[0; 65_536])])),
        ErofsError::XattrValueTooLarge { inode: CHILD, name: b"user.v".to_vec(), len: 65_536 }
    );
    for xattrs in [[(&b"user.b"[..], &b""[..]), (b"user.a", b"")], [(b"user.a", b""), (b"user.a", b"")]] {
        assert_eq!(refusal(with_xattrs(&xattrs)), ErofsError::XattrsUnsorted { inode: CHILD });
    }
}

#[test]
fn inodes_without_a_name_are_left_out_whatever_they_are() {
    let mut tree = Tree::new(directory());
    tree.push(Inode { mode: u16::MAX, ..inode(InodeKind::File { size: 1, data: DataAddress(u64::MAX) }) });
    assert_eq!(write_with(0, &tree).unwrap().inodes, 1);
}
