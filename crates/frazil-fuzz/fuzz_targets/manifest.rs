//! Manifests: any bytes, and any values behind right hashes, tags and ciphers. What opens can be sealed again.

#![no_main]

#[allow(dead_code, reason = "each target uses a part")]
mod forge;

use forge::{SALT, derive, number, seal, tag, take};
use frazil_format::{DataKey, Manifest, SealedManifest, WrappedKey};
use libfuzzer_sys::fuzz_target;

const DATA_KEY: [u8; 32] = [1; 32];

fuzz_target!(|input: &[u8]| {
    let _ = read(input);
    let Ok(manifest) = read(&forge_manifest(input)) else { return };
    let wrapped = WrappedKey { provider: String::new(), key_id: String::new(), bytes: Vec::new() };
    let (_, again) =
        manifest.seal(&DataKey::from_bytes(DATA_KEY), wrapped).expect("what opens can be sealed");
    assert_eq!(read(&again).expect("what was sealed opens"), manifest);
});

fn read(bytes: &[u8]) -> Result<Manifest, frazil_format::FormatError> {
    SealedManifest::parse(bytes.to_vec().into())?.open(&DataKey::from_bytes(DATA_KEY))
}

/// The input is: number of chunks, length of the geometry, geometry, chunk records, packed configuration.
fn forge_manifest(mut input: &[u8]) -> Vec<u8> {
    let input = &mut input;
    let chunk_count = number(input) % 1025;
    let geometry_len = number(input);
    let mut sections = vec![(1u32, take(input, geometry_len))];
    if chunk_count > 0 {
        sections.push((2, take(input, chunk_count * 48)));
        sections.push((3, seal(section_key(3), &vec![5; chunk_count * 32])));
    }
    sections.push((4, seal(section_key(4), input)));
    assemble(chunk_count, &sections)
}

fn section_key(kind: u32) -> [u8; 32] {
    derive("frazil manifest section v1", &[&DATA_KEY, &SALT, &kind.to_le_bytes(), &[0; 4]])
}

fn assemble(chunk_count: usize, sections: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let header_len = 112 + 56 * sections.len() + 8 + 32;
    let total_len = header_len + sections.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    let mut bytes = b"frazilMF".to_vec();
    bytes.extend(1u32.to_le_bytes());
    bytes.extend((header_len as u32).to_le_bytes());
    bytes.extend((total_len as u64).to_le_bytes());
    bytes.extend((chunk_count as u64).to_le_bytes());
    for word in [1, sections.len() as u32, 8, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(SALT);
    bytes.extend(derive("frazil manifest commitment v1", &[&DATA_KEY, &SALT]));
    let mut offset = header_len as u64;
    for (kind, section) in sections {
        bytes.extend(kind.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(offset.to_le_bytes());
        bytes.extend((section.len() as u64).to_le_bytes());
        bytes.extend(blake3::hash(section).as_bytes());
        offset += section.len() as u64;
    }
    bytes.extend([0; 8]);
    bytes.extend(tag(derive("frazil manifest header v1", &[&DATA_KEY, &SALT]), &bytes));
    for (_, section) in sections {
        bytes.extend(section);
    }
    bytes
}
