//! Random trees against the model that they were made from: no kernel between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use frazil_erofs::{DirCookie, FileType, Nid};
use proptest::prelude::*;

use super::files::{Detail, Files, Listing};
use crate::support::sample::{Built, CHUNK_LEN, Kind, Node, Sample, noise};
use crate::support::tier::TestTier;
use crate::{Image, ImageOptions};

/// A budget of two chunks, so that everything is evicted and fetched again on the way.
const BUDGET: u64 = 2 * CHUNK_LEN as u64;

fn node() -> impl Strategy<Value = Node> {
    let kind = prop_oneof![
        4 => Just(Kind::Directory),
        4 => (any::<u64>(), 0..200_000_usize).prop_map(|(seed, len)| Kind::File(noise(seed, len))),
        1 => prop::collection::vec(1..=255_u8, 1..300).prop_map(Kind::Symlink),
        1 => (0..4096_u32, 0..1_048_576_u32).prop_map(|(major, minor)| Kind::CharDevice(major, minor)),
        1 => Just(Kind::Fifo),
    ];
    let xattrs =
        prop::collection::btree_map("user\\.[a-z]{1,20}", prop::collection::vec(any::<u8>(), 0..500), 0..3);
    (kind, 0..=0o7777_u16, any::<[u32; 2]>(), any::<i32>(), 0..1_000_000_000_u32, xattrs).prop_map(
        |(kind, mode, [uid, gid], seconds, nanos, xattrs)| {
            let mut node = Node::new(kind).mode(mode).owner(uid, gid).mtime(seconds.into(), nanos);
            node.xattrs = xattrs.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
            node
        },
    )
}

/// Names hang below the directories that came before them; what already has the name stays.
fn sample() -> impl Strategy<Value = Sample> {
    let name = prop::collection::vec((1..=255_u8).prop_filter("no slash", |byte| *byte != b'/'), 1..60)
        .prop_filter("no dots", |name| name != b"." && name != b"..");
    prop::collection::vec((any::<prop::sample::Index>(), name, node()), 0..60).prop_map(|entries| {
        let mut sample = Sample::new();
        for (parent, name, node) in entries {
            let directories: Vec<_> = sample
                .0
                .iter()
                .filter(|(_, node)| matches!(node.kind, Kind::Directory))
                .map(|(path, _)| path.clone())
                .collect();
            let parent = parent.get(&directories);
            let path = if parent.is_empty() { name } else { [parent.as_slice(), b"/", &name].concat() };
            sample.0.entry(path).or_insert(node);
        }
        sample
    })
}

async fn find(files: &Files, path: &[u8]) -> Nid {
    let mut at = files.root();
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        at = files.answer(|| files.lookup(at, name)).await.unwrap().expect("a name is missing").nid;
    }
    at
}

/// A directory's names, as small replies would give them.
async fn names(files: &Files, directory: Nid, at_once: usize) -> BTreeMap<Vec<u8>, FileType> {
    let mut names = BTreeMap::new();
    let mut from = DirCookie::default();
    loop {
        let mut shown = Vec::new();
        let list = || {
            shown.clear();
            files.list(directory, from, Detail::Inodes, |listed| {
                if shown.len() == at_once {
                    return Listing::Full;
                }
                assert_eq!(listed.inode.map(|inode| inode.file_type), Some(listed.entry.file_type));
                shown.push(listed.entry.clone());
                Listing::More
            })
        };
        files.answer(list).await.unwrap();
        let Some(last) = shown.last() else { return names };
        from = last.next;
        for entry in shown {
            assert_eq!(names.insert(entry.name, entry.file_type), None, "a name was listed twice");
        }
    }
}

async fn check(sample: &Sample, built: &Built, files: &Files) {
    for (path, node) in &sample.0 {
        let nid = find(files, path).await;
        let inode = files.answer(|| files.inode(nid)).await.unwrap();
        assert_eq!(
            (inode.mode, inode.uid, inode.gid, inode.mtime),
            (node.mode, node.uid, node.gid, node.mtime)
        );
        for (name, value) in &node.xattrs {
            assert_eq!(files.answer(|| files.xattr(nid, name)).await.unwrap().as_ref(), Some(value));
        }
        let listed = files.answer(|| files.xattr_names(nid)).await.unwrap();
        assert_eq!(listed.iter().filter(|byte| **byte == 0).count(), node.xattrs.len());
        match &node.kind {
            Kind::Directory => {
                let below = |other: &&Vec<u8>| {
                    let rest = other.strip_prefix(path.as_slice());
                    let rest =
                        if path.is_empty() { rest } else { rest.and_then(|rest| rest.strip_prefix(b"/")) };
                    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(&b'/'))
                };
                let expected: BTreeSet<&[u8]> = sample
                    .0
                    .keys()
                    .filter(below)
                    .filter_map(|path| path.rsplit(|byte| *byte == b'/').next())
                    .collect();
                let mut listed = names(files, nid, 3).await;
                assert_eq!(listed.remove(b".".as_slice()), Some(FileType::Directory));
                assert_eq!(listed.remove(b"..".as_slice()), Some(FileType::Directory));
                assert_eq!(listed.keys().map(Vec::as_slice).collect::<BTreeSet<_>>(), expected);
                assert!(files.answer(|| files.lookup(nid, b"no such name/")).await.unwrap().is_none());
            }
            Kind::File(content) => {
                assert!(files.read(nid, 0, content.len() + 1).await.unwrap() == *content);
                let middle = content.len() / 2;
                assert!(
                    files.read(nid, middle as u64, 5000).await.unwrap()
                        == content[middle..content.len().min(middle + 5000)]
                );
            }
            Kind::Symlink(target) => {
                assert_eq!(files.answer(|| files.read_link(nid)).await.unwrap(), *target)
            }
            _ => assert_eq!(inode.size, 0),
        }
    }
    let total = built.manifest.chunks.len() as u64;
    assert_eq!(files.image().counters().chunks_total, total);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_random_tree_reads_as_the_model_it_was_made_from(sample in sample()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let built = sample.build();
        let tier: Arc<TestTier> = TestTier::of(&built);
        let options = ImageOptions { decoded_budget_bytes: BUDGET, ..ImageOptions::default() };
        let image = Image::new(built.manifest.clone(), tier, runtime.handle().clone(), options).unwrap();
        runtime.block_on(async {
            let files = Files::open(&image).await.unwrap();
            check(&sample, &built, &files).await;
        });
    }
}
