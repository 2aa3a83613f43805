//! Layer indexes: what goes in comes out, for whoever has the scope's secret and asks by the right name.

use frazil_format::*;
use proptest::prelude::*;

use crate::values::{layer_indexes, one_of, scope};

const ROOT: RootId = RootId::FIRST;

fn name_of(index: &LayerIndex) -> LayerIndexId {
    LayerIndexId::derive(&scope(), ROOT, &index.diff_id, b"cut")
}

proptest! {
    #[test]
    fn what_was_sealed_opens(index in layer_indexes()) {
        let id = name_of(&index);
        let bytes = index.seal(&scope(), ROOT, &id).unwrap();
        prop_assert_eq!(LayerIndex::open(&bytes, &scope(), ROOT, &id).unwrap(), index.clone());
        let ids: Vec<ChunkId> = index.chunks.iter().map(|chunk| chunk.id).collect();
        prop_assert_eq!(LayerIndex::chunk_ids(&bytes).unwrap(), ids, "without any key");
    }

    #[test]
    fn the_layer_does_not_show(index in layer_indexes()) {
        let id = name_of(&index);
        let bytes = index.seal(&scope(), ROOT, &id).unwrap();
        prop_assert!(!bytes.windows(32).any(|window| window == index.diff_id.as_bytes()));
        prop_assert!(id.as_bytes() != index.diff_id.as_bytes());
    }

    #[test]
    fn any_bytes_at_all_give_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let id = LayerIndexId::from_bytes([0; 32]);
        prop_assert!(LayerIndex::open(&bytes, &scope(), ROOT, &id).is_err());
        prop_assert!(LayerIndex::chunk_ids(&bytes).is_err());
    }
}

fn some_index() -> LayerIndex {
    one_of(layer_indexes(), |index| index.chunks.len() > 2 && index.entries.len() > 2)
}

#[test]
fn another_secret_root_or_name_is_refused() {
    let index = some_index();
    let id = name_of(&index);
    let bytes = index.seal(&scope(), ROOT, &id).unwrap();
    let not_authentic = FormatError::NotAuthentic { what: "layer index" };
    let other_scope = ScopeSecret::from_bytes([8; 32]);
    assert_eq!(LayerIndex::open(&bytes, &other_scope, ROOT, &id).unwrap_err(), not_authentic);
    let other_name = LayerIndexId::derive(&scope(), ROOT, &index.diff_id, b"cut otherwise");
    assert_eq!(LayerIndex::open(&bytes, &scope(), ROOT, &other_name).unwrap_err(), not_authentic);
    let other_root = RootId::from_number(2);
    let refused = LayerIndex::open(&bytes, &scope(), other_root, &id).unwrap_err();
    assert_eq!(refused, FormatError::WrongRoot { what: "layer index", expected: other_root, found: ROOT });

    let mut moved = bytes.clone();
    moved[12] = 2;
    assert!(LayerIndex::open(&moved, &scope(), other_root, &id).is_err(), "the root is not just a label");
}

#[test]
fn names_depend_on_scope_root_layer_and_parameters() {
    let diff_id = DiffId::from_bytes([1; 32]);
    let name = |secret: u8, root, diff_id: &DiffId, parameters: &[u8]| {
        LayerIndexId::derive(
            &ScopeSecret::from_bytes([secret; 32]),
            RootId::from_number(root),
            diff_id,
            parameters,
        )
    };
    let names = [
        name(1, 1, &diff_id, b"a"),
        name(2, 1, &diff_id, b"a"),
        name(1, 2, &diff_id, b"a"),
        name(1, 1, &DiffId::from_bytes([2; 32]), b"a"),
        name(1, 1, &diff_id, b"b"),
    ];
    assert_eq!(std::collections::HashSet::from(names).len(), names.len());
}

#[test]
fn what_nobody_could_read_is_not_written() {
    let refusal = |change: &dyn Fn(&mut LayerIndex)| {
        let mut index = some_index();
        change(&mut index);
        index.seal(&scope(), ROOT, &name_of(&index)).unwrap_err()
    };
    let bad_entry = |entry: Entry| match refusal(&|index| index.entries.insert(1, entry.clone())) {
        FormatError::BadEntry { number: 1, problem } => problem,
        other => panic!("{other}"),
    };
    for path in [&b"/etc"[..], b"etc/", b"a//b", b".", b"a/../b", b"..", b"./a"] {
        assert_eq!(
            bad_entry(Entry { path: path.to_vec(), kind: EntryKind::Whiteout }),
            "the path is not clean"
        );
        let kind = EntryKind::Hardlink(path.to_vec());
        assert_eq!(bad_entry(Entry { path: b"a".to_vec(), kind }), "the path is not clean");
    }
    let inode = |change: &dyn Fn(&mut Attributes), content| {
        let mut attributes = Attributes::default();
        change(&mut attributes);
        bad_entry(Entry { path: b"a".to_vec(), kind: EntryKind::Inode(attributes, content) })
    };
    assert!(inode(&|attributes| attributes.mode = 0o10000, Content::Fifo).contains("mode"));
    assert!(
        inode(&|attributes| attributes.mtime_nanos = 1_000_000_000, Content::Fifo).contains("nanoseconds")
    );
    let twice = vec![(b"user.a".to_vec(), vec![]), (b"user.a".to_vec(), vec![])];
    assert!(inode(&|attributes| attributes.xattrs = twice.clone(), Content::Fifo).contains("sorted"));
    assert!(inode(&|_| (), Content::File { offset: 1, len: 1 }).contains("block"));
    assert!(inode(&|_| (), Content::File { offset: 0, len: u64::MAX }).contains("behind the stream"));
    let refused = refusal(&|index| index.stream_len += 1);
    assert!(matches!(refused, FormatError::BadGeometry { .. }), "{refused}");
    let refused = refusal(&|index| index.chunks.swap(0, 1));
    assert!(matches!(refused, FormatError::BadChunk { number: 1, .. }), "{refused}");
}

#[test]
fn a_hundred_thousand_entries_are_no_burden() {
    let entry = |number: u32| Entry {
        path: format!("usr/lib/python3/dist-packages/package/file-{number}.py").into_bytes(),
        kind: EntryKind::Inode(Attributes::default(), Content::File { offset: 0, len: 0 }),
    };
    let index = LayerIndex { entries: (0..100_000).map(entry).collect(), ..some_index() };
    let id = name_of(&index);
    let bytes = index.seal(&scope(), ROOT, &id).unwrap();
    assert!(bytes.len() < 2 << 20, "{} bytes", bytes.len());
    assert_eq!(LayerIndex::open(&bytes, &scope(), ROOT, &id).unwrap().entries.len(), 100_000);
}
