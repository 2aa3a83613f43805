//! No change to a stored file goes unnoticed: not one bit, not one byte more or less.

use frazil_format::*;
use proptest::prelude::*;

use crate::values::{layer_indexes, manifests, one_of, scope, wrapped};

/// Every single bit flipped, every shorter length, and one byte more.
fn all_changes(bytes: &[u8], mut accepts: impl FnMut(&[u8]) -> bool) {
    assert!(accepts(bytes), "the original");
    let mut changed = bytes.to_vec();
    for bit in 0..bytes.len() * 8 {
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepts(&changed), "bit {} of byte {} may flip", bit % 8, bit / 8);
        changed[bit / 8] ^= 1 << (bit % 8);
    }
    for len in 0..bytes.len() {
        assert!(!accepts(&bytes[..len]), "may end at {len}");
    }
    changed.push(0);
    assert!(!accepts(&changed), "may go on");
}

#[test]
fn no_bit_of_a_manifest_may_flip() {
    let manifest = one_of(manifests(), |manifest| (2..5).contains(&manifest.chunks.len()));
    let data_key = DataKey::generate().unwrap();
    let (_, bytes) = manifest.seal(&data_key, wrapped()).unwrap();
    // Without the id, as if the name of the manifest had been changed with it.
    all_changes(&bytes, |bytes| {
        SealedManifest::parse(bytes.to_vec().into()).is_ok_and(|sealed| sealed.open(&data_key).is_ok())
    });
}

#[test]
fn the_id_alone_notices_every_change_to_a_manifest() {
    let manifest = one_of(manifests(), |manifest| (2..5).contains(&manifest.chunks.len()));
    let (id, bytes) = manifest.seal(&DataKey::generate().unwrap(), wrapped()).unwrap();
    all_changes(&bytes, |bytes| SealedManifest::verify(&id, bytes.to_vec().into()).is_ok());
}

#[test]
fn no_bit_of_a_layer_index_may_flip() {
    let index = one_of(layer_indexes(), |index| index.chunks.len() == 3 && index.entries.len() == 4);
    let id = LayerIndexId::derive(&scope(), RootId::FIRST, &index.diff_id, b"");
    let bytes = index.seal(&scope(), RootId::FIRST, &id).unwrap();
    all_changes(&bytes, |bytes| LayerIndex::open(bytes, &scope(), RootId::FIRST, &id).is_ok());
}

#[test]
fn rot_in_a_layer_index_is_noticed_without_a_key() {
    let index = one_of(layer_indexes(), |index| index.chunks.len() == 3 && index.entries.len() == 4);
    let id = LayerIndexId::derive(&scope(), RootId::FIRST, &index.diff_id, b"");
    let mut bytes = index.seal(&scope(), RootId::FIRST, &id).unwrap();
    for bit in 0..(bytes.len() - 32) * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(LayerIndex::chunk_ids(&bytes).is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn no_bit_of_a_sealed_chunk_may_flip() {
    let sealed = Sealer::new(&scope(), RootId::FIRST)
        .seal(&Payload::compress(&b"chunk ".repeat(20), Compression::default()))
        .unwrap();
    all_changes(sealed.chunk.bytes(), |bytes| SealedChunk::verify(&sealed.id, bytes.to_vec().into()).is_ok());
    // Even if the id went with it, the cipher's tag notices.
    all_changes(sealed.chunk.bytes(), |bytes| {
        let bytes = bytes::Bytes::copy_from_slice(bytes);
        let renamed = SealedChunk::verify(&ChunkId::of(&bytes), bytes).unwrap();
        open_chunk(&renamed, &sealed.key, 120).is_ok()
    });
}

proptest! {
    #[test]
    fn a_flipped_bit_anywhere_in_any_manifest_is_refused(
        manifest in manifests(),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let data_key = DataKey::generate().unwrap();
        let (id, mut bytes) = manifest.seal(&data_key, wrapped()).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(SealedManifest::verify(&id, bytes.clone().into()).is_err(), "the id names these bytes");
        let opened = SealedManifest::parse(bytes.into()).and_then(|sealed| sealed.open(&data_key));
        prop_assert!(opened.is_err(), "byte {}", at);
    }

    #[test]
    fn a_flipped_bit_anywhere_in_any_layer_index_is_refused(
        index in layer_indexes(),
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let id = LayerIndexId::derive(&scope(), RootId::FIRST, &index.diff_id, b"");
        let mut bytes = index.seal(&scope(), RootId::FIRST, &id).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(LayerIndex::open(&bytes, &scope(), RootId::FIRST, &id).is_err(), "byte {}", at);
    }
}
