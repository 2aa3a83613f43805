//! The worked example of docs/FORMAT.md: one scope, one layer with one file, one image.

use crate::*;

/// Bytes that count up.
pub(super) fn counting(first: u8) -> [u8; 32] {
    std::array::from_fn(|index| first.wrapping_add(u8::try_from(index).unwrap()))
}

pub(super) fn scope() -> ScopeSecret {
    ScopeSecret::from_bytes(counting(0x00))
}

pub(super) fn diff_id() -> DiffId {
    DiffId::from_bytes(counting(0x20))
}

pub(super) fn data_key() -> DataKey {
    DataKey::from_bytes(counting(0x40))
}

pub(super) fn wrapping_key() -> WrappingKey {
    WrappingKey::from_bytes(counting(0x60))
}

pub(super) const WRAPPING_SALT: u8 = 0x80;
pub(super) const LAYER_INDEX_SALT: u8 = 0xa0;
pub(super) const MANIFEST_SALT: u8 = 0xc0;
pub(super) const PROFILES_SALT: u8 = 0x10;
pub(super) const BUNDLE_ID: u8 = 0x30;
pub(super) const PARAMETERS: &[u8] = b"example";
pub(super) const STORED_CHUNK: &[u8] = b"Frazil ice.\n";

/// A chunk that zstd makes smaller.
pub(super) fn repetitive_chunk() -> Vec<u8> {
    b"frazil\n".repeat(16)
}

/// The payload of [`repetitive_chunk`] as one zstd made it: later versions may give other bytes, but all of them
/// read these.
pub(super) const ZSTD_PAYLOAD: &str = "0128b52ffd2070750000386672617a696c0a010046693102";

pub(super) fn seal_chunk(payload: &Payload) -> Sealed {
    Sealer::new(&scope(), RootId::FIRST).seal(payload).unwrap()
}

pub(super) fn layer_index() -> LayerIndex {
    let sealed = seal_chunk(&Payload::compress(STORED_CHUNK, Compression::None));
    let attributes = Attributes { mode: 0o644, mtime_seconds: 1_700_000_000, ..Attributes::default() };
    LayerIndex {
        diff_id: diff_id(),
        tar_len: 10_240,
        stream_len: 4096,
        entries: vec![
            Entry {
                path: b"motd".to_vec(),
                kind: EntryKind::Inode(attributes, Content::File { offset: 0, len: 12 }),
            },
            Entry { path: b"etc/issue".to_vec(), kind: EntryKind::Whiteout },
        ],
        chunks: vec![StreamChunk {
            offset: 0,
            len: 12,
            sealed_len: sealed.chunk.len().try_into().unwrap(),
            id: sealed.id,
            key: sealed.key,
        }],
    }
}

pub(super) fn layer_index_id() -> LayerIndexId {
    LayerIndexId::derive(&scope(), RootId::FIRST, &diff_id(), PARAMETERS)
}

pub(super) fn layer_index_bytes() -> Vec<u8> {
    let salt = counting(LAYER_INDEX_SALT);
    layer_index().seal_with_salt(&scope(), RootId::FIRST, &layer_index_id(), salt).unwrap()
}

pub(super) fn wrapped() -> WrappedKey {
    let context = wrap_context("default", "hello");
    let bytes = wrapping_key().wrap_with_salt(&data_key(), &context, counting(WRAPPING_SALT)).unwrap();
    WrappedKey { provider: "keyring".into(), key_id: "default".into(), bytes }
}

/// A metadata area of one block, whose chunk compresses, and the layer behind it.
pub(super) fn manifest() -> Manifest {
    let metadata = seal_chunk(&Payload::from_stored(hex::decode(ZSTD_PAYLOAD).unwrap()));
    let metadata_chunk = Chunk {
        offset: 1024,
        len: 112,
        sealed_len: metadata.chunk.len().try_into().unwrap(),
        id: metadata.id,
    };
    let layer_chunk = layer_index().chunks.remove(0);
    Manifest {
        geometry: Geometry {
            root: RootId::FIRST,
            tenant: "default".into(),
            name: "hello".into(),
            created_seconds: 1_700_000_000,
            metadata_len: 4096,
            metadata_scope: scope().id(),
            image_len: 8192,
            layers: vec![LayerExtent { diff_id: diff_id(), scope: scope().id(), offset: 4096, len: 4096 }],
        },
        chunks: vec![
            metadata_chunk,
            Chunk {
                offset: 4096,
                len: layer_chunk.len,
                sealed_len: layer_chunk.sealed_len,
                id: layer_chunk.id,
            },
        ],
        keys: vec![metadata.key, layer_chunk.key],
        config: br#"{"config":{"Cmd":["cat","/motd"]}}"#.to_vec(),
    }
}

pub(super) fn manifest_bytes() -> (ManifestId, Vec<u8>) {
    manifest().seal_with_salt(&data_key(), &wrapped(), counting(MANIFEST_SALT)).unwrap()
}

/// Two starts of `cat /motd`: the file was read in both, the metadata in the last one alone.
pub(super) fn profiles() -> Profiles {
    let bundle = Bundle {
        id: BundleId::from_bytes(counting(BUNDLE_ID)),
        made_seconds: 1_700_000_002,
        chunks: vec![1, 0],
    };
    Profiles(vec![Profile {
        label: Label::command(&["cat", "/motd"]),
        starts: 2,
        precision: 1000,
        recorded_seconds: 1_700_000_001,
        chunks: vec![
            ProfiledChunk { chunk: 1, position: 0, history: 3 },
            ProfiledChunk { chunk: 0, position: 16, history: 1 },
        ],
        bundle: Some(bundle),
    }])
}

pub(super) fn profiles_bytes() -> Vec<u8> {
    profiles().seal_with_salt(&data_key().profile_key(), 2, counting(PROFILES_SALT)).unwrap()
}

/// The segments of the example's bundle.
pub(super) fn bundle_bytes() -> Vec<u8> {
    let mut sealer = BundleSealer::new(data_key().profile_key(), BundleId::from_bytes(counting(BUNDLE_ID)));
    let stored = seal_chunk(&Payload::compress(STORED_CHUNK, Compression::None));
    let packed = seal_chunk(&Payload::from_stored(hex::decode(ZSTD_PAYLOAD).unwrap()));
    assert_eq!(sealer.push(&stored.chunk).unwrap().len() + sealer.push(&packed.chunk).unwrap().len(), 0);
    sealer.finish().unwrap().concat()
}
