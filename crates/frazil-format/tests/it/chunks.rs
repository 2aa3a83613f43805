//! Sealing and opening chunks.

use std::collections::HashMap;

use bytes::Bytes;
use frazil_format::*;
use proptest::prelude::*;

use crate::values::scope;

fn seal(payload: &Payload) -> Sealed {
    Sealer::new(&scope(), RootId::FIRST).seal(payload).unwrap()
}

fn compressions() -> impl Strategy<Value = Compression> {
    prop_oneof![
        Just(Compression::None),
        (-7..=19i32).prop_map(|level| Compression::Zstd { level }),
        Just(Compression::default())
    ]
}

/// Chunks that compress and chunks that do not.
fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let repeated = (proptest::collection::vec(any::<u8>(), 1..40), 1..200usize);
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..5000),
        repeated.prop_map(|(part, times)| part.repeat(times))
    ]
}

proptest! {
    #[test]
    fn what_was_sealed_opens(chunk in chunks(), compression in compressions()) {
        let payload = Payload::compress(&chunk, compression);
        prop_assert!(payload.as_bytes().len() <= chunk.len() + 1, "compression never makes a chunk longer");
        let sealed = seal(&payload);
        let foreign = SealedChunk::verify(&sealed.id, sealed.chunk.bytes().clone()).unwrap();
        prop_assert_eq!(open_chunk(&foreign, &sealed.key, chunk.len() as u32).unwrap(), chunk);
    }

    #[test]
    fn two_encoders_use_one_key_only_where_they_give_the_same_bytes(
        chunk in chunks(),
        old in compressions(),
        new in compressions(),
    ) {
        let (old, new) = (Payload::compress(&chunk, old), Payload::compress(&chunk, new));
        let (old_key, new_key) = (seal(&old).key, seal(&new).key);
        prop_assert_eq!(old_key == new_key, old == new, "one key for two messages under one nonce");
    }

    #[test]
    fn a_wrong_length_is_refused(chunk in chunks(), compression in compressions(), len in 0..10_000u32) {
        prop_assume!(len as usize != chunk.len());
        let sealed = seal(&Payload::compress(&chunk, compression));
        let refused = open_chunk(&sealed.chunk, &sealed.key, len).unwrap_err();
        let is_about_the_length = matches!(refused, FormatError::WrongPlainLength { expected, .. } if expected == u64::from(len));
        prop_assert!(is_about_the_length, "{}", refused);
    }

    #[test]
    fn a_flipped_bit_is_another_chunk(chunk in chunks(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let sealed = seal(&Payload::compress(&chunk, Compression::default()));
        let mut bytes = sealed.chunk.bytes().to_vec();
        bytes[at.index(sealed.chunk.len())] ^= 1 << bit;
        let found = ChunkId::of(&bytes);
        let refused = SealedChunk::verify(&sealed.id, bytes.into()).unwrap_err();
        prop_assert_eq!(refused, FormatError::WrongChunk { expected: sealed.id, found });
    }
}

#[test]
fn two_payloads_of_one_chunk_never_share_a_key() {
    let chunk: Vec<u8> = (0..60_000u32).flat_map(|number| (number / 7 % 1000).to_le_bytes()).collect();
    let mut keys = HashMap::new();
    let levels = [-7, -1, 1, 3, 6, 9, 12, 15, 19].map(|level| Compression::Zstd { level });
    for compression in levels.into_iter().chain([Compression::None]) {
        let payload = Payload::compress(&chunk, compression);
        let sealed = seal(&payload);
        let before = keys.insert(*sealed.key.as_bytes(), payload.clone());
        assert!(before.is_none_or(|before| before == payload), "one key for two payloads");
    }
    assert!(keys.len() > 5, "levels were expected to differ, only {} did", keys.len());
}

#[test]
fn every_scope_and_every_root_has_its_own_keys_and_ids() {
    let payload = Payload::compress(b"the same bytes", Compression::None);
    let mut seen = HashMap::new();
    for secret in [[7; 32], [8; 32]] {
        for root in 1..4 {
            let sealer = Sealer::new(&ScopeSecret::from_bytes(secret), RootId::from_number(root));
            let sealed = sealer.seal(&payload).unwrap();
            assert!(seen.insert(sealed.id, ()).is_none());
            assert!(seen.insert(ChunkId::from_bytes(*sealed.key.as_bytes()), ()).is_none());
        }
    }
}

#[test]
fn a_compression_is_a_codec_and_a_level() {
    for (text, compression) in [
        ("none", Compression::None),
        ("zstd", Compression::Zstd { level: 3 }),
        ("zstd:-1", Compression::Zstd { level: -1 }),
    ] {
        assert_eq!(text.parse(), Ok(compression));
        assert_eq!(compression.to_string().parse(), Ok(compression));
    }
    for text in ["", "lz4", "zstd:", "zstd:23", "none:1"] {
        assert!(text.parse::<Compression>().is_err(), "{text}");
    }
}

#[test]
fn sealing_is_convergent_on_any_thread() {
    let chunk = b"convergent ".repeat(1000);
    let seal_here = || seal(&Payload::compress(&chunk, Compression::default())).id;
    let here = seal_here();
    std::thread::scope(|threads| {
        for other in [threads.spawn(seal_here), threads.spawn(seal_here)] {
            assert_eq!(other.join().unwrap(), here);
        }
    });
}

#[test]
fn a_wrong_key_is_named() {
    let sealed = seal(&Payload::compress(b"chunk", Compression::None));
    let refused = open_chunk(&sealed.chunk, &ChunkKey::from_bytes([0; 32]), 5).unwrap_err();
    assert_eq!(refused, FormatError::WrongChunkKey { chunk: sealed.id });
}

#[test]
fn a_chunk_beyond_the_bound_is_not_sealed_and_its_length_not_believed() {
    let chunk = vec![1; MAX_CHUNK_LEN as usize];
    let sealed = seal(&Payload::compress(&chunk, Compression::None));
    assert_eq!(sealed.chunk.len(), MAX_SEALED_LEN as usize);
    assert_eq!(open_chunk(&sealed.chunk, &sealed.key, MAX_CHUNK_LEN).unwrap(), chunk);

    let payload = Payload::compress(&vec![1; MAX_CHUNK_LEN as usize + 1], Compression::None);
    let refused = Sealer::new(&scope(), RootId::FIRST).seal(&payload).unwrap_err();
    assert!(matches!(refused, FormatError::TooLong { what: "payload", .. }));
    let refused = open_chunk(&sealed.chunk, &sealed.key, u32::MAX).unwrap_err();
    assert!(matches!(refused, FormatError::TooLong { what: "chunk", .. }));
}

#[test]
fn bytes_too_short_for_a_tag_are_refused() {
    for len in 0..16 {
        let bytes = Bytes::from(vec![0; len]);
        let chunk = SealedChunk::verify(&ChunkId::of(&bytes), bytes).unwrap();
        let refused = open_chunk(&chunk, &ChunkKey::from_bytes([0; 32]), 0).unwrap_err();
        assert!(matches!(refused, FormatError::WrongChunkKey { .. }));
    }
}
