//! Manifests: any bytes, and any values behind right hashes, tags and ciphers. What opens can be sealed again, and is
//! the same when it is read while it comes.

#![no_main]

#[allow(dead_code, reason = "each target uses a part")]
mod forge;

use forge::{SALT, derive, number, seal, tag, take};
use frazil_format::{DataKey, FormatError, Manifest, ManifestId, SealedFront, SealedManifest, WrappedKey};
use libfuzzer_sys::fuzz_target;

const DATA_KEY: [u8; 32] = [1; 32];

fuzz_target!(|input: &[u8]| {
    let _ = read(input);
    let _ = read_as_it_comes(input);
    let forged = forge_manifest(input);
    let opened = read(&forged);
    assert_eq!(read_as_it_comes(&forged).ok().flatten(), opened.clone().ok());
    let Ok(manifest) = opened else { return };
    let wrapped = WrappedKey { provider: String::new(), key_id: String::new(), bytes: Vec::new() };
    let (_, again) =
        manifest.seal(&DataKey::from_bytes(DATA_KEY), wrapped).expect("what opens can be sealed");
    assert_eq!(read(&again).expect("what was sealed opens"), manifest);
});

fn read(bytes: &[u8]) -> Result<Manifest, FormatError> {
    SealedManifest::parse(bytes.to_vec().into())?.open(&DataKey::from_bytes(DATA_KEY))
}

/// The same in two pieces; none if something is missing.
fn read_as_it_comes(bytes: &[u8]) -> Result<Option<Manifest>, FormatError> {
    let header_len = bytes.get(12..16).and_then(|len| len.try_into().ok()).map_or(0, u32::from_le_bytes);
    let header = bytes.get(..header_len as usize).unwrap_or_default();
    let id = ManifestId::from_bytes(*blake3::hash(header).as_bytes());
    let Some(front) = SealedFront::read(&id, &bytes.to_vec().into())? else { return Ok(None) };
    let mut reader = front.open(DataKey::from_bytes(DATA_KEY))?;
    let sections = bytes.get(reader.wanted_from() as usize..).unwrap_or_default();
    let (mut chunks, mut keys) = (Vec::new(), Vec::new());
    for piece in [&sections[..sections.len() / 2], &sections[sections.len() / 2..]] {
        reader.push(piece);
        while let Some(page) = reader.read()? {
            chunks.extend(page.chunks);
            keys.extend(page.keys);
        }
    }
    let config = reader.config().map(<[u8]>::to_vec).filter(|_| reader.has_all_chunks());
    Ok(config.map(|config| Manifest { geometry: reader.geometry().clone(), chunks, keys, config }))
}

/// The input is: number of chunks, length of the geometry, geometry, chunk records, packed configuration.
fn forge_manifest(mut input: &[u8]) -> Vec<u8> {
    let input = &mut input;
    let chunk_count = number(input) % 1025;
    let geometry_len = number(input);
    let geometry = take(input, geometry_len);
    let chunks = take(input, chunk_count * 48);
    let mut sections = vec![(1u32, geometry), (4, seal(section_key(4), input))];
    if chunk_count > 0 {
        sections.push((2, chunks));
        sections.push((3, seal(section_key(3), &vec![5; chunk_count * 32])));
    }
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
