//! Layer indexes: any bytes, and any body behind right checksums, tags and ciphers. What opens can be sealed again.

#![no_main]

#[allow(dead_code, reason = "each target uses a part")]
mod forge;

use forge::{SALT, derive, number, seal, tag, take};
use frazil_format::{FormatError, LayerIndex, LayerIndexId, RootId, ScopeSecret};
use libfuzzer_sys::fuzz_target;

const SECRET: [u8; 32] = [1; 32];
const NAME: [u8; 32] = [2; 32];

fuzz_target!(|input: &[u8]| {
    let _ = read(input);
    let _ = LayerIndex::chunk_ids(input);
    let forged = forge_index(input);
    let ids = LayerIndex::chunk_ids(&forged).expect("the clear part is right");
    let Ok(index) = read(&forged) else { return };
    assert!(index.chunks.iter().map(|chunk| chunk.id).eq(ids));
    let (secret, id) = (ScopeSecret::from_bytes(SECRET), LayerIndexId::from_bytes(NAME));
    let again = index.seal(&secret, RootId::FIRST, &id).expect("what opens can be sealed");
    assert_eq!(read(&again).expect("what was sealed opens"), index);
});

fn read(bytes: &[u8]) -> Result<LayerIndex, FormatError> {
    let (secret, id) = (ScopeSecret::from_bytes(SECRET), LayerIndexId::from_bytes(NAME));
    LayerIndex::open(bytes, &secret, RootId::FIRST, &id)
}

/// The input is: number of chunks, chunk ids, whether the rest is still to be packed, body.
fn forge_index(mut input: &[u8]) -> Vec<u8> {
    let input = &mut input;
    let chunk_count = number(input) % 200;
    let chunk_ids = take(input, chunk_count * 32);
    let packed = if take(input, 1) == [0] { pack(input) } else { input.to_vec() };
    let material: [&[u8]; 4] = [&SECRET, &1u32.to_le_bytes(), &NAME, &SALT];
    let body = seal(derive("frazil layer index body v1", &material), &packed);
    let mut bytes = b"frazilLI".to_vec();
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend((chunk_count as u64).to_le_bytes());
    bytes.extend((body.len() as u64).to_le_bytes());
    bytes.extend(SALT);
    bytes.extend(chunk_ids);
    bytes.extend(body);
    let checksum = *blake3::hash(&bytes).as_bytes();
    bytes.extend(checksum);
    bytes.extend(tag(derive("frazil layer index tag v1", &material), &checksum));
    bytes
}

fn pack(plain: &[u8]) -> Vec<u8> {
    let frame = zstd::bulk::compress(plain, 1).expect("an input is never too long to be compressed");
    [&(plain.len() as u64).to_le_bytes()[..], &frame].concat()
}
