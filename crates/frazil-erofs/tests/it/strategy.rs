//! Random trees: all kinds, names of any bytes, xattrs, hard links, crowded directories, sizes at block edges.

use std::collections::{BTreeMap, BTreeSet};

use frazil_erofs::{DataAddress, Inode, InodeIndex, InodeKind, Timestamp, Tree, Xattrs};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::sample::inode;

/// Blocks in the data area that random files lie in.
pub(crate) const DATA_BLOCKS: u64 = 8;

/// One step in growing a tree.
#[derive(Debug, Clone)]
enum Growth {
    Child { parent: Index, name: Vec<u8>, inode: Inode },
    HardLink { parent: Index, name: Vec<u8>, target: Index },
    Crowd { parent: Index, prefix: Vec<u8>, count: usize },
}

pub(crate) fn trees() -> impl Strategy<Value = Tree> {
    (directories(), vec(growths(), 0..60)).prop_map(|(root, growths)| grow(root, growths))
}

fn grow(root: Inode, growths: Vec<Growth>) -> Tree {
    let mut tree = Tree::new(root);
    let mut directories = vec![Tree::ROOT];
    let mut others: Vec<InodeIndex> = Vec::new();
    for growth in growths {
        match growth {
            Growth::Child { parent, name, inode } => {
                let parent = *parent.get(&directories);
                if has(&tree, parent, &name) {
                    continue;
                }
                let is_directory = matches!(inode.kind, InodeKind::Directory(_));
                let index = tree.push(inode);
                tree.link(parent, name, index);
                if is_directory { &mut directories } else { &mut others }.push(index);
            }
            Growth::HardLink { parent, name, target } => {
                let parent = *parent.get(&directories);
                if !others.is_empty() && !has(&tree, parent, &name) {
                    tree.link(parent, name, *target.get(&others));
                }
            }
            Growth::Crowd { parent, prefix, count } => {
                let parent = *parent.get(&directories);
                for number in 0..count {
                    let name = [&prefix[..], format!("{number:04}").as_bytes()].concat();
                    if !has(&tree, parent, &name) {
                        let index = tree.push(inode(InodeKind::Fifo));
                        tree.link(parent, name, index);
                    }
                }
            }
        }
    }
    tree
}

fn has(tree: &Tree, parent: InodeIndex, name: &[u8]) -> bool {
    matches!(&tree.get(parent).unwrap().kind, InodeKind::Directory(names) if names.contains_key(name))
}

fn growths() -> impl Strategy<Value = Growth> {
    let child = |inode: BoxedStrategy<Inode>| {
        (any::<Index>(), names(), inode).prop_map(|(parent, name, inode)| Growth::Child {
            parent,
            name,
            inode,
        })
    };
    prop_oneof![
        4 => child(directories().boxed()),
        8 => child(inodes().boxed()),
        2 => (any::<Index>(), names(), any::<Index>())
            .prop_map(|(parent, name, target)| Growth::HardLink { parent, name, target }),
        1 => (any::<Index>(), vec(1..=255_u8, 0..200), 0..400_usize).prop_map(|(parent, prefix, count)| {
            let prefix = prefix.into_iter().filter(|byte| *byte != b'/').collect();
            Growth::Crowd { parent, prefix, count }
        }),
    ]
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || select((1..=255).filter(|byte| *byte != b'/').collect::<Vec<u8>>());
    prop_oneof![vec(select(b"ab.-_".to_vec()), 1..6), vec(bytes(), 1..30), vec(bytes(), 255),]
        .prop_filter("names are not the reserved ones", |name| !matches!(name.as_slice(), b"." | b".."))
}

fn directories() -> impl Strategy<Value = Inode> {
    attributed(Just(InodeKind::Directory(BTreeMap::new())), all_xattrs(true))
}

fn inodes() -> impl Strategy<Value = Inode> {
    let sizes = prop_oneof![
        select(vec![0, 1, 4095, 4096, 4097, 8191, 8192, 8193, DATA_BLOCKS * 4096]),
        0..DATA_BLOCKS * 4096,
    ];
    let files = (sizes, any::<Index>()).prop_map(|(size, at)| {
        let last_start = DATA_BLOCKS - size.div_ceil(4096);
        InodeKind::File { size, data: DataAddress(at.index(last_start as usize + 1) as u64) }
    });
    let targets = prop_oneof![vec(1..=255_u8, 1..50), vec(1..=255_u8, 3900..=4095)];
    let numbers = || (0..4096_u32, 0..1_u32 << 20);
    let others = prop_oneof![
        targets.prop_map(InodeKind::Symlink),
        numbers().prop_map(|(major, minor)| InodeKind::CharDevice { major, minor }),
        numbers().prop_map(|(major, minor)| InodeKind::BlockDevice { major, minor }),
        Just(InodeKind::Fifo),
        Just(InodeKind::Socket),
    ];
    prop_oneof![attributed(files, all_xattrs(false)), attributed(others, privileged_xattrs())]
}

fn attributed(
    kinds: impl Strategy<Value = InodeKind>,
    xattrs: impl Strategy<Value = Xattrs>,
) -> impl Strategy<Value = Inode> {
    let ids = || prop_oneof![Just(0), Just(65_536), Just(u32::MAX - 1), any::<u32>()];
    let times =
        (any::<i64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos });
    (kinds, 0..=0o7777_u16, ids(), ids(), times, xattrs)
        .prop_map(|(kind, mode, uid, gid, mtime, xattrs)| Inode { kind, mode, uid, gid, mtime, xattrs })
}

/// Xattrs that the kernel shows on any type of file.
fn privileged_xattrs() -> impl Strategy<Value = Xattrs> {
    let named = |prefix: &'static [u8]| {
        (suffixes(), values()).prop_map(move |(suffix, value)| ([prefix, &suffix].concat(), value))
    };
    let xattr = prop_oneof![named(b"trusted."), named(b"security.frazil.")];
    prop_oneof![3 => Just(Vec::new()), 1 => vec(xattr, 1..4).prop_map(unique)]
}

/// Xattrs that the kernel shows on regular files and directories.
fn all_xattrs(with_default_acl: bool) -> impl Strategy<Value = Xattrs> {
    let user = (suffixes(), values()).prop_map(|(suffix, value)| ([&b"user."[..], &suffix].concat(), value));
    let access = Just((b"system.posix_acl_access".to_vec(), acl()));
    let default = Just((b"system.posix_acl_default".to_vec(), acl()));
    let capability = Just((b"security.capability".to_vec(), capability()));
    let plain = prop_oneof![4 => user, 1 => access, 1 => capability].boxed();
    let any = if with_default_acl { prop_oneof![4 => plain, 1 => default].boxed() } else { plain };
    let own = prop_oneof![3 => Just(Vec::new()), 1 => vec(any, 1..5)];
    (own, privileged_xattrs()).prop_map(|(own, privileged)| unique(own.into_iter().chain(privileged)))
}

fn suffixes() -> impl Strategy<Value = Vec<u8>> {
    // The VFS allows 255 bytes for the whole name.
    prop_oneof![vec(1..=255_u8, 1..12), vec(1..=255_u8, 230..=239)]
}

fn values() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 0..40), 1 => vec(any::<u8>(), 3900..4200), 1 => vec(any::<u8>(), 65_535)]
}

fn unique(xattrs: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Xattrs {
    let mut taken = BTreeSet::new();
    let mut len = 0;
    let mut xattrs: Xattrs = xattrs
        .into_iter()
        .filter(|(name, value)| {
            len += value.len() + 260;
            len < 200_000 && taken.insert(name.clone())
        })
        .collect();
    xattrs.sort();
    xattrs
}

/// The smallest valid POSIX ACL, in the form that user space sees: version, then (tag, permissions, id).
fn acl() -> Vec<u8> {
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions) in [(0x01_u16, 7_u16), (0x04, 5), (0x20, 4)] {
        acl.extend(tag.to_le_bytes());
        acl.extend(permissions.to_le_bytes());
        acl.extend(u32::MAX.to_le_bytes());
    }
    acl
}

/// `cap_net_raw=ep`, as a version 2 capability set.
fn capability() -> Vec<u8> {
    let words = [0x0200_0001_u32, 1 << 13, 0, 0, 0];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
