//! What somebody who can write hashes and holds the data key could put into a manifest: values that no honest
//! converter writes are refused all the same.

use super::example::*;
use crate::manifest::{Draft, Kind, ManifestKeys, encode_sections};
use crate::*;

/// A manifest with whatever geometry and chunks, its hashes and tag right, sealed without the checks.
fn forge(manifest: &Manifest) -> Vec<u8> {
    let (salt, data_key) = (counting(MANIFEST_SALT), data_key());
    let keys = ManifestKeys { data_key: &data_key, salt: &salt };
    let sections = encode_sections(manifest, &keys).unwrap();
    write(manifest.chunks.len(), &sections)
}

pub(super) fn write(chunk_count: usize, sections: &[(Kind, u32, Vec<u8>)]) -> Vec<u8> {
    let (salt, data_key) = (counting(MANIFEST_SALT), data_key());
    let keys = ManifestKeys { data_key: &data_key, salt: &salt };
    let draft = Draft {
        root: RootId::FIRST,
        chunk_count: chunk_count as u64,
        salt,
        commitment: *keys.commitment(),
        wrapped: &wrapped(),
        sections,
    };
    let mut bytes = draft.encode().unwrap();
    bytes.extend(crate::domains::tag(&keys.header(), &bytes));
    sections.iter().for_each(|(_, _, section)| bytes.extend(section));
    bytes
}

fn refusal(change: impl FnOnce(&mut Manifest)) -> FormatError {
    let mut manifest = manifest();
    change(&mut manifest);
    let on_sealing = manifest.seal(&data_key(), wrapped()).unwrap_err();
    let on_parsing = SealedManifest::parse(forge(&manifest).into()).unwrap_err();
    assert_eq!(on_sealing, on_parsing, "writer and reader hold to one rule");
    on_parsing
}

#[test]
fn the_forge_makes_the_real_thing_from_real_values() {
    assert_eq!(forge(&manifest()), manifest_bytes().1);
}

#[test]
fn geometries_that_contradict_themselves_are_refused() {
    let bad_geometry = |change: fn(&mut Geometry)| match refusal(|manifest| change(&mut manifest.geometry)) {
        FormatError::BadGeometry { problem } => problem,
        other => panic!("{other}"),
    };
    assert!(bad_geometry(|geometry| geometry.tenant.clear()).contains("empty"));
    assert!(bad_geometry(|geometry| geometry.metadata_len = 100).contains("blocks"));
    assert!(bad_geometry(|geometry| geometry.image_len = 4096).contains("last layer"));
    assert!(bad_geometry(|geometry| geometry.image_len = u64::MAX).contains("last layer"));
    assert!(bad_geometry(|geometry| geometry.layers.clear()).contains("last layer"));
    let too_long = |change: fn(&mut Geometry)| refusal(|manifest| change(&mut manifest.geometry));
    assert!(matches!(
        too_long(|geometry| geometry.name = "n".repeat(256)),
        FormatError::TooLong { what: "image name", len: 256, limit: 255 }
    ));
    assert!(matches!(
        too_long(|geometry| geometry.layers = vec![geometry.layers[0].clone(); 1025]),
        FormatError::TooLong { len: 1025, limit: 1024, .. }
    ));
}

#[test]
fn layers_that_leave_gaps_or_wrap_around_are_refused() {
    for change in [
        (|layer| layer.offset = 8192) as fn(&mut LayerExtent),
        |layer| layer.offset = 0,
        |layer| layer.len = 4095,
        |layer| layer.len = u64::MAX - 4095,
    ] {
        let refused = refusal(|manifest| change(&mut manifest.geometry.layers[0]));
        assert!(matches!(refused, FormatError::BadLayer { number: 0, .. }), "{refused}");
    }
}

#[test]
fn chunks_that_overlap_or_leave_the_image_are_refused() {
    for (number, change) in [
        (0, (|chunks| chunks[0].len = 0) as fn(&mut Vec<Chunk>)),
        (0, |chunks| chunks[0].len = MAX_CHUNK_LEN + 1),
        (0, |chunks| chunks[0].sealed_len = 17),
        (0, |chunks| chunks[0].sealed_len = 112 + 18),
        (0, |chunks| chunks[0].sealed_len = u32::MAX),
        (0, |chunks| chunks[0].offset = 4090),
        (0, |chunks| chunks[0].offset = u64::MAX),
        (1, |chunks| chunks[1].offset = 1100),
        (1, |chunks| chunks[1].offset = 8190),
        (1, |chunks| chunks.swap(0, 1)),
    ] {
        match refusal(|manifest| change(&mut manifest.chunks)) {
            FormatError::BadChunk { number: refused, .. } => assert_eq!(refused, number),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_manifest_without_one_key_for_each_chunk_is_not_written() {
    let mut manifest = manifest();
    manifest.keys.pop();
    let refused = manifest.seal(&data_key(), wrapped()).unwrap_err();
    assert_eq!(refused, FormatError::KeyCount { keys: 1, chunks: 2 });
}

#[test]
fn unknown_versions_kinds_and_magic_numbers_are_named() {
    let patched = |at: usize, byte: u8| {
        let (_, mut bytes) = manifest_bytes();
        bytes[at] = byte;
        SealedManifest::parse(bytes.into()).unwrap_err()
    };
    assert_eq!(patched(0, b'X'), FormatError::NotA { what: "manifest" });
    assert!(matches!(patched(8, 2), FormatError::UnknownVersion { version: 2, supported: 1, .. }));
    assert_eq!(patched(112, 9), FormatError::UnexpectedSection { number: 0, kind: 9, index: 0 });
    assert_eq!(patched(112 + 56 + 4, 1), FormatError::UnexpectedSection { number: 1, kind: 4, index: 1 });

    let patched = |at: usize, byte: u8| {
        let mut bytes = layer_index_bytes();
        bytes[at] = byte;
        LayerIndex::chunk_ids(&bytes).unwrap_err()
    };
    assert_eq!(patched(0, b'X'), FormatError::NotA { what: "layer index" });
    assert!(matches!(patched(8, 2), FormatError::UnknownVersion { version: 2, supported: 1, .. }));
}

#[test]
fn counts_that_the_bytes_cannot_hold_are_refused_before_they_allocate() {
    let (_, mut bytes) = manifest_bytes();
    bytes[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    let refused = SealedManifest::parse(bytes.into()).unwrap_err();
    assert!(matches!(refused, FormatError::TooLong { what: "number of chunks", .. }), "{refused}");

    let mut bytes = layer_index_bytes();
    bytes[16..24].copy_from_slice(&(u64::MAX / 32).to_le_bytes());
    assert!(LayerIndex::chunk_ids(&bytes).is_err());
}

#[test]
fn a_configuration_that_would_unpack_beyond_its_bound_is_refused() {
    let (salt, data_key) = (counting(MANIFEST_SALT), data_key());
    let keys = ManifestKeys { data_key: &data_key, salt: &salt };
    let mut sections = encode_sections(&manifest(), &keys).unwrap();
    let bomb = crate::packed::pack(&vec![0; (16 << 20) + 1], "bomb").unwrap();
    sections[1].2 = keys.seal(Kind::Config, 0, &bomb).unwrap();
    let sealed = SealedManifest::parse(write(2, &sections).into()).unwrap();
    let refused = sealed.open(&data_key).unwrap_err();
    assert!(matches!(refused, FormatError::TooLong { what: "configuration", .. }), "{refused}");
}
