//! A directory's content: blocks of dirents and names, in the bytewise order that the kernel searches by.
//!
//! The invariant: an entry never crosses a block, every block is filled as far as the next entry allows,
//! and what follows the last name in a block is zero.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use zerocopy::IntoBytes;

use crate::layout::{BLOCK_BYTES, BLOCK_SIZE, DIRENT_SIZE, RawDirent};
use crate::tree::InodeIndex;
use crate::types::{FileType, Nid};

/// What a name in a directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Itself,
    Parent,
    Child(InodeIndex),
}

/// A name with all that its dirent says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    pub(super) nid: Nid,
    pub(super) file_type: FileType,
}

/// All names, with `.` and `..` where the order puts them: names may sort before and between them.
pub(super) fn names(children: &BTreeMap<Vec<u8>, InodeIndex>) -> impl Iterator<Item = (&[u8], Target)> {
    let between = |low, high| {
        let range = children.range::<[u8], _>((low, high));
        range.map(|(name, index)| (name.as_slice(), Target::Child(*index)))
    };
    between(Unbounded, Excluded(&b"."[..]))
        .chain([(&b"."[..], Target::Itself)])
        .chain(between(Excluded(&b"."[..]), Excluded(&b".."[..])))
        .chain([(&b".."[..], Target::Parent)])
        .chain(between(Excluded(&b".."[..]), Unbounded))
}

/// Bytes of the directory's content: whole blocks, then as much of the last one as is used.
pub(super) fn content_len(children: &BTreeMap<Vec<u8>, InodeIndex>) -> u64 {
    let mut full_blocks = 0;
    let mut used = 0;
    for (name, _) in names(children) {
        let len = DIRENT_SIZE + name.len();
        if used + len > BLOCK_SIZE {
            full_blocks += 1;
            used = 0;
        }
        used += len;
    }
    full_blocks * BLOCK_BYTES + used as u64
}

/// Packs entries into blocks and hands each, with its number and only as long as it is used, to `sink`.
pub(super) fn pack<'a>(entries: impl Iterator<Item = Entry<'a>>, mut sink: impl FnMut(u64, &[u8])) {
    let mut block = Vec::new();
    let mut block_len = 0;
    let mut number = 0;
    let mut scratch = [0; BLOCK_SIZE];
    for entry in entries {
        let len = DIRENT_SIZE + entry.name.len();
        if block_len + len > BLOCK_SIZE {
            sink(number, fill(&mut scratch, &block));
            number += 1;
            block.clear();
            block_len = 0;
        }
        block.push(entry);
        block_len += len;
    }
    sink(number, fill(&mut scratch, &block));
}

fn fill<'s>(scratch: &'s mut [u8; BLOCK_SIZE], entries: &[Entry<'_>]) -> &'s [u8] {
    let mut name_at = entries.len() * DIRENT_SIZE;
    for (entry, slot) in entries.iter().zip(scratch.chunks_exact_mut(DIRENT_SIZE)) {
        let dirent = RawDirent {
            nid: entry.nid.0.into(),
            name_offset: (name_at as u16).into(),
            file_type: entry.file_type.to_dirent(),
            reserved: 0,
        };
        slot.copy_from_slice(dirent.as_bytes());
        name_at += entry.name.len();
    }
    let mut at = entries.len() * DIRENT_SIZE;
    for entry in entries {
        scratch[at..at + entry.name.len()].copy_from_slice(entry.name);
        at += entry.name.len();
    }
    &scratch[..at]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn children(names: &[&[u8]]) -> BTreeMap<Vec<u8>, InodeIndex> {
        names.iter().map(|name| (name.to_vec(), InodeIndex(7))).collect()
    }

    #[test]
    fn dot_and_dot_dot_take_their_bytewise_place() {
        let children = children(&[b"a", b"-", b".-", b"..a", b".a"]);
        let order: Vec<&[u8]> = names(&children).map(|(name, _)| name).collect();
        assert_eq!(order, [&b"-"[..], b".", b".-", b"..", b"..a", b".a", b"a"]);
        assert!(order.is_sorted());
    }

    #[test]
    fn the_length_foreseen_is_the_length_packed() {
        for count in [0, 1, 140, 141, 142, 143, 1000] {
            let names: Vec<Vec<u8>> = (0..count).map(|i| format!("name-{i:013}").into_bytes()).collect();
            let children = children(&names.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let entries = super::names(&children).map(|(name, _)| Entry {
                name,
                nid: Nid(36),
                file_type: FileType::Fifo,
            });
            let mut end = 0;
            pack(entries, |number, bytes| end = number * BLOCK_BYTES + bytes.len() as u64);
            assert_eq!(end, content_len(&children), "{count} names");
        }
    }
}
