//! Values to seal: arbitrary ones that keep the format's rules.

use frazil_format::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

pub(crate) fn scope() -> ScopeSecret {
    ScopeSecret::from_bytes([7; 32])
}

/// Lengths of a few chunks and the gaps before them, in bytes.
fn spans() -> impl Strategy<Value = Vec<(u64, u32, u32)>> {
    vec((0..3000u64, 1..5000u32, 1..18u32), 0..20)
}

fn whole_blocks(bytes: u64) -> u64 {
    bytes.next_multiple_of(BLOCK_SIZE)
}

fn stream_chunks(spans: &[(u64, u32, u32)], seed: u8) -> Vec<StreamChunk> {
    let mut end = 0;
    let chunk = |(number, &(gap, len, overhead)): (usize, &(u64, u32, u32))| {
        let offset = end + gap;
        end = offset + u64::from(len);
        let own = [seed.wrapping_add(number as u8); 32];
        StreamChunk {
            offset,
            len,
            sealed_len: (len + overhead).max(18),
            id: ChunkId::of(&own),
            key: ChunkKey::from_bytes(*ChunkId::of(&[&own[..], b"key"].concat()).as_bytes()),
        }
    };
    spans.iter().enumerate().map(chunk).collect()
}

fn end_of(chunks: &[StreamChunk]) -> u64 {
    whole_blocks(chunks.last().map_or(0, |chunk| chunk.offset + u64::from(chunk.len)))
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = vec(any::<u8>(), 1..12).prop_map(|mut name| {
        name.iter_mut().filter(|byte| matches!(byte, 0 | b'/' | b'.')).for_each(|byte| *byte = b'_');
        name
    });
    vec(name, 0..4).prop_map(|names| names.join(&b'/'))
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let xattrs = proptest::collection::btree_map(vec(any::<u8>(), 1..9), vec(any::<u8>(), 0..9), 0..3);
    (0..=0o7777u16, any::<u32>(), any::<u32>(), any::<i64>(), 0..1_000_000_000u32, xattrs).prop_map(
        |(mode, uid, gid, mtime_seconds, mtime_nanos, xattrs)| Attributes {
            mode,
            uid,
            gid,
            mtime_seconds,
            mtime_nanos,
            xattrs: xattrs.into_iter().collect(),
        },
    )
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        Just(Content::Directory),
        Just(Content::Fifo),
        Just(Content::File { offset: 0, len: 0 }),
        vec(any::<u8>(), 0..20).prop_map(Content::Symlink),
        any::<(u32, u32)>().prop_map(|(major, minor)| Content::CharDevice { major, minor }),
        any::<(u32, u32)>().prop_map(|(major, minor)| Content::BlockDevice { major, minor }),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let kind = prop_oneof![
        (attributes(), content()).prop_map(|(attributes, content)| EntryKind::Inode(attributes, content)),
        path().prop_map(EntryKind::Hardlink),
        Just(EntryKind::Whiteout),
        Just(EntryKind::Opaque),
    ];
    (path(), kind).prop_map(|(path, kind)| Entry { path, kind })
}

pub(crate) fn layer_indexes() -> impl Strategy<Value = LayerIndex> {
    (any::<[u8; 32]>(), any::<u64>(), spans(), vec(entry(), 0..12)).prop_map(
        |(diff_id, tar_len, spans, entries)| {
            let chunks = stream_chunks(&spans, diff_id[0]);
            let diff_id = DiffId::from_bytes(diff_id);
            LayerIndex { diff_id, tar_len, stream_len: end_of(&chunks), entries, chunks }
        },
    )
}

pub(crate) fn manifests() -> impl Strategy<Value = Manifest> {
    let names = ("[a-zäß/:.-]{1,40}", "[a-zäß/:.-]{1,40}");
    (names, any::<(u64, u32)>(), vec(spans(), 1..5), vec(any::<u8>(), 0..300)).prop_map(
        |((tenant, name), (created_seconds, root), areas, config)| {
            let mut manifest = Manifest {
                geometry: Geometry {
                    root: RootId::from_number(root),
                    tenant,
                    name,
                    created_seconds,
                    metadata_len: 0,
                    metadata_scope: scope().id(),
                    image_len: 0,
                    layers: Vec::new(),
                },
                chunks: Vec::new(),
                keys: Vec::new(),
                config,
            };
            (0u8..).zip(&areas).for_each(|(number, spans)| append_area(&mut manifest, number, spans));
            manifest
        },
    )
}

/// The first area is the metadata, each later one a layer.
fn append_area(manifest: &mut Manifest, number: u8, spans: &[(u64, u32, u32)]) {
    let chunks = stream_chunks(spans, number.wrapping_mul(31));
    let (offset, len) = (manifest.geometry.image_len, end_of(&chunks));
    if number == 0 {
        manifest.geometry.metadata_len = len;
    } else {
        let diff_id = DiffId::from_bytes([number; 32]);
        manifest.geometry.layers.push(LayerExtent { diff_id, scope: scope().id(), offset, len });
    }
    manifest.geometry.image_len += len;
    for chunk in chunks {
        let StreamChunk { len, sealed_len, id, .. } = chunk;
        manifest.chunks.push(Chunk { offset: offset + chunk.offset, len, sealed_len, id });
        manifest.keys.push(chunk.key);
    }
}

pub(crate) fn wrapped() -> WrappedKey {
    WrappedKey { provider: "test".into(), key_id: "k".into(), bytes: vec![1, 2, 3] }
}

/// A manifest of this many chunks of 64 KiB in one layer.
pub(crate) fn large_manifest(chunk_count: u32) -> Manifest {
    let len = 64 << 10;
    let chunk = |number: u32| Chunk {
        offset: BLOCK_SIZE + u64::from(number) * u64::from(len),
        len,
        sealed_len: 30_000,
        id: ChunkId::of(&number.to_le_bytes()),
    };
    let layer_len = u64::from(chunk_count) * u64::from(len);
    Manifest {
        geometry: Geometry {
            root: RootId::FIRST,
            tenant: "default".into(),
            name: "large".into(),
            created_seconds: 0,
            metadata_len: BLOCK_SIZE,
            metadata_scope: scope().id(),
            image_len: BLOCK_SIZE + layer_len,
            layers: vec![LayerExtent {
                diff_id: DiffId::from_bytes([1; 32]),
                scope: scope().id(),
                offset: BLOCK_SIZE,
                len: layer_len,
            }],
        },
        chunks: (0..chunk_count).map(chunk).collect(),
        keys: (0..chunk_count).map(|number| ChunkKey::from_bytes(*blake3_of(number).as_bytes())).collect(),
        config: b"{}".to_vec(),
    }
}

fn blake3_of(number: u32) -> ChunkId {
    ChunkId::of(&[&b"key"[..], &number.to_le_bytes()].concat())
}

/// One value that fits, the same one on every run.
pub(crate) fn one_of<T: std::fmt::Debug>(values: impl Strategy<Value = T>, fits: impl Fn(&T) -> bool) -> T {
    let mut runner = TestRunner::deterministic();
    (0..10_000).map(|_| values.new_tree(&mut runner).unwrap().current()).find(fits).unwrap()
}
