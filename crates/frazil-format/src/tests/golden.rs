//! The sealing chain, step by step, against an implementation that is not ours.

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use bytes::Bytes;

use super::example::*;
use crate::*;

/// Key, sealed bytes and id of a payload, made with blake3's and RustCrypto's own calls.
fn seal_with_the_oracle(payload: &[u8], root: u32) -> ([u8; 32], Vec<u8>, blake3::Hash) {
    let mut material = scope().as_bytes().to_vec();
    material.extend(root.to_le_bytes());
    material.extend(blake3::hash(payload).as_bytes());
    let key = blake3::derive_key("frazil chunk key v1", &material);
    let sealed = encrypt_with_the_oracle(&key, payload);
    let id = blake3::hash(&sealed);
    (key, sealed, id)
}

fn encrypt_with_the_oracle(key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)).encrypt(&Nonce::from([0; 12]), plain).unwrap()
}

fn assert_chain(payload: &Payload, chunk: &[u8], key: &str, sealed: &str, id: &str) {
    let ours = seal_chunk(payload);
    assert_eq!(hex::encode(ours.key.as_bytes()), key);
    assert_eq!(hex::encode(ours.chunk.bytes()), sealed);
    assert_eq!(ours.id.to_string(), id);

    let theirs = seal_with_the_oracle(payload.as_bytes(), 1);
    assert_eq!(hex::encode(theirs.0), key);
    assert_eq!(hex::encode(theirs.1), sealed);
    assert_eq!(theirs.2.to_string(), id);

    let bytes = Bytes::from(hex::decode(sealed).unwrap());
    let verified = SealedChunk::verify(&id.parse().unwrap(), bytes).unwrap();
    assert_eq!(open_chunk(&verified, &ours.key, chunk.len().try_into().unwrap()).unwrap(), chunk);
}

#[test]
fn a_stored_chunk_is_sealed_to_known_bytes() {
    let payload = Payload::compress(STORED_CHUNK, Compression::None);
    assert_eq!(hex::encode(payload.as_bytes()), "004672617a696c206963652e0a");
    assert_chain(
        &payload,
        STORED_CHUNK,
        "dc170fd3fb7fba2b414dcb2133e7ff747398b0f31773527eb8258e2239d71fba",
        "4a71e19ad038b63be5ae23fc218bf7f58461e00f2ac9f6dd6832be8d48",
        "8be912abbeceab4a7a2a6010ddae0519e675d8bed8305f88aa42b07924cc2542",
    );
}

#[test]
fn a_zstd_payload_is_sealed_to_known_bytes() {
    let payload = Payload::from_stored(hex::decode(ZSTD_PAYLOAD).unwrap());
    assert_chain(
        &payload,
        &repetitive_chunk(),
        "3b838cffb87507d620830ea2c31f68d873e14d303bfafee86a080b97316c35e5",
        "0b6517f3483be88918379b7b2ba7147aa11d83f20112230618f95ee7d03b22c8a019204454672fb5",
        "a2d7d527522f6f08ec07c889563646b0a244a89b24a5226574c848b4f017c68f",
    );
}

#[test]
fn this_version_of_zstd_gives_the_payload_that_is_documented() {
    let payload = Payload::compress(&repetitive_chunk(), Compression::Zstd { level: 3 });
    assert_eq!(
        hex::encode(payload.as_bytes()),
        ZSTD_PAYLOAD,
        "a zstd that differs costs dedup: say so in a release"
    );
}

#[test]
fn scope_ids_and_layer_index_names_are_known() {
    assert_eq!(scope().id().to_string(), "ca81d622e9f7598edea8e1026b281985");
    assert_eq!(
        layer_index_id().to_string(),
        "8a3650e7cb026948fde62006c3ee26f1e185a5f5bd76c27d3783921849e92cfd"
    );
}

#[test]
fn the_cipher_agrees_with_rustcrypto_at_every_length_around_its_blocks() {
    for len in (0..130).chain([4095, 4096, 4097, 65_537]) {
        let chunk: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let payload = Payload::compress(&chunk, Compression::None);
        let ours = seal_chunk(&payload);
        let (key, sealed, id) = seal_with_the_oracle(payload.as_bytes(), 1);
        assert_eq!((ours.key.as_bytes(), &ours.chunk.bytes()[..]), (&key, &sealed[..]), "length {len}");
        assert_eq!(ours.id.as_bytes(), id.as_bytes());
    }
}

#[test]
fn the_example_files_open_to_the_example_values() {
    let index = LayerIndex::open(&layer_index_bytes(), &scope(), RootId::FIRST, &layer_index_id()).unwrap();
    assert_eq!(index, layer_index());
    let (id, bytes) = manifest_bytes();
    let sealed = SealedManifest::verify(&id, bytes.into()).unwrap();
    let context = wrap_context("default", "hello");
    let unwrapped = wrapping_key().unwrap(&sealed.wrapped_key().bytes, &context).unwrap();
    assert_eq!(unwrapped, data_key());
    assert_eq!(sealed.open(&unwrapped).unwrap(), manifest());
}

#[test]
fn sealed_sections_of_a_manifest_open_with_rustcrypto() {
    let (_, bytes) = manifest_bytes();
    let mut material = [data_key().as_bytes().as_slice(), &counting(MANIFEST_SALT)].concat();
    material.extend(3u32.to_le_bytes());
    material.extend(0u32.to_le_bytes());
    let key = blake3::derive_key("frazil manifest section v1", &material);
    let keys: Vec<u8> = manifest().keys.iter().flat_map(|key| *key.as_bytes()).collect();
    let sealed = encrypt_with_the_oracle(&key, &keys);
    assert!(bytes.windows(sealed.len()).any(|window| window == sealed));
}

/// The sealed bytes as the example's own key and another cipher give them.
fn seal_for_profiles(context: &str, salt: u8, rest: &[u8], plain: &[u8]) -> Vec<u8> {
    let profile_key = blake3::derive_key("frazil profile key v1", data_key().as_bytes());
    let material = [&profile_key[..], &counting(salt), rest].concat();
    encrypt_with_the_oracle(&blake3::derive_key(context, &material), plain)
}

#[test]
fn profiles_are_sealed_as_the_format_says() {
    let bytes = profiles_bytes();
    let mut body = profile::encode_profiles(&profiles());
    body.resize(4096 - 48 - 16, 0);
    let sealed = seal_for_profiles("frazil profiles v1", PROFILES_SALT, &[], &body);
    assert_eq!(bytes[..16], *b"frazilPR\x01\0\0\0\0\0\0\0");
    assert_eq!((&bytes[16..48], &bytes[48..]), (&counting(PROFILES_SALT)[..], &sealed[..]));
    assert_eq!(Profiles::open(&bytes, &data_key().profile_key(), 2).unwrap(), profiles());
}

#[test]
fn a_bundle_is_sealed_as_the_format_says() {
    let bytes = bundle_bytes();
    assert_eq!(bytes.len(), 1 << 20);
    let chunks = [
        Payload::compress(STORED_CHUNK, Compression::None),
        Payload::from_stored(hex::decode(ZSTD_PAYLOAD).unwrap()),
    ]
    .map(|payload| seal_chunk(&payload).chunk.into_bytes());
    for index in 0..4_u32 {
        let mut plain = if index == 0 { chunks.concat() } else { Vec::new() };
        plain.resize((256 << 10) - 16, 0);
        let sealed = seal_for_profiles("frazil bundle segment v1", BUNDLE_ID, &index.to_le_bytes(), &plain);
        assert!(bytes[index as usize * (256 << 10)..].starts_with(&sealed), "segment {index}");
    }
}

#[test]
fn a_wrapped_key_is_what_rustcrypto_seals() {
    let mut material = wrapping_key().as_bytes().to_vec();
    material.extend(counting(WRAPPING_SALT));
    material.extend(*b"\x07\0\0\0\0\0\0\0default\x05\0\0\0\0\0\0\0hello");
    let key = blake3::derive_key("frazil key wrapping v1", &material);
    let sealed = encrypt_with_the_oracle(&key, data_key().as_bytes());
    assert_eq!(wrapped().bytes, [&[1][..], &counting(WRAPPING_SALT), &sealed].concat());
}

#[test]
fn commitment_and_tag_of_a_manifest_are_what_blake3_s_own_calls_give() {
    let (id, bytes) = manifest_bytes();
    let material = [data_key().as_bytes().as_slice(), &counting(MANIFEST_SALT)].concat();
    let commitment = blake3::derive_key("frazil manifest commitment v1", &material);
    assert_eq!(bytes[80..112], commitment);
    let header_len = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let key = blake3::derive_key("frazil manifest header v1", &material);
    let (tagged, tag) = bytes[..header_len].split_at(header_len - 32);
    assert_eq!(tag, blake3::keyed_hash(&key, tagged).as_bytes());
    assert_eq!(id.as_bytes(), blake3::hash(&bytes[..header_len]).as_bytes());
}

#[test]
fn body_and_tag_of_a_layer_index_are_what_others_calls_give() {
    let bytes = layer_index_bytes();
    let mut material = scope().as_bytes().to_vec();
    material.extend(1u32.to_le_bytes());
    material.extend(layer_index_id().as_bytes());
    material.extend(counting(LAYER_INDEX_SALT));
    let packed =
        crate::packed::pack(&layer_index::encode_body(&layer_index()).unwrap(), "layer index").unwrap();
    let key = blake3::derive_key("frazil layer index body v1", &material);
    let sealed = encrypt_with_the_oracle(&key, &packed);
    let (covered, trailer) = bytes.split_at(bytes.len() - 64);
    assert!(covered.ends_with(&sealed));
    let checksum = blake3::hash(covered);
    let key = blake3::derive_key("frazil layer index tag v1", &material);
    let tag = blake3::keyed_hash(&key, checksum.as_bytes());
    assert_eq!(trailer, [checksum.as_bytes().as_slice(), tag.as_bytes()].concat());
}

#[test]
fn a_scope_vouches_for_what_it_says_and_for_nothing_else() {
    let material = [scope().as_bytes().as_slice(), b"base 20"].concat();
    let tag = blake3::derive_key("frazil scope record v1", &material);
    assert_eq!(scope().record_tag("base 20"), tag);
    assert!(scope().vouches_for("base 20", &tag) && !scope().vouches_for("base 21", &tag));
    assert!(!ScopeSecret::from_bytes([9; 32]).vouches_for("base 20", &tag));
}
