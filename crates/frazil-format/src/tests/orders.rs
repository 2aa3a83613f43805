//! Manifests whose sections lie in other orders, and manifests that come in pieces: the same values, or an error.

use bytes::Bytes;

use super::example::*;
use super::forgery::write;
use crate::manifest::{Kind, ManifestKeys, encode_sections};
use crate::*;

type Sections = Vec<(Kind, u32, Vec<u8>)>;

/// Three pages of chunks.
fn three_pages() -> Manifest {
    let mut manifest = manifest();
    let (chunk, key) = (manifest.chunks[1], manifest.keys[1].clone());
    let count = 2 * CHUNKS_PER_PAGE as u64 + 7;
    let layer = &mut manifest.geometry.layers[0];
    layer.len = count * 4096;
    manifest.geometry.image_len = layer.offset + layer.len;
    manifest.chunks = (0..count).map(|number| Chunk { offset: 4096 * (number + 1), ..chunk }).collect();
    manifest.keys = vec![key; count as usize];
    manifest
}

fn sections(manifest: &Manifest) -> Sections {
    let (salt, data_key) = (counting(MANIFEST_SALT), data_key());
    encode_sections(manifest, &ManifestKeys { data_key: &data_key, salt: &salt }).unwrap()
}

/// The order that writers had before.
fn records_before_keys(sections: &Sections) -> Sections {
    let of = |kind| sections.iter().filter(move |section| section.0 == kind).cloned();
    [Kind::Geometry, Kind::ChunkPage, Kind::KeyPage, Kind::Config].into_iter().flat_map(of).collect()
}

fn id_of(bytes: &[u8]) -> ManifestId {
    SealedManifest::parse(Bytes::copy_from_slice(bytes)).unwrap().id()
}

fn reader(bytes: &[u8], key: DataKey) -> Result<ManifestReader, FormatError> {
    let front = SealedFront::read(&id_of(bytes), &Bytes::copy_from_slice(bytes))?.unwrap();
    front.open(key)
}

/// What a reader makes of bytes that come in pieces of `len` bytes.
fn read_in_pieces(bytes: &[u8], len: usize) -> Result<Manifest, FormatError> {
    let mut reader = reader(bytes, data_key())?;
    let (mut chunks, mut keys) = (Vec::new(), Vec::new());
    for piece in bytes[reader.wanted_from() as usize..].chunks(len) {
        reader.push(piece);
        while let Some(page) = reader.read()? {
            assert_eq!(page.chunks.len(), page.keys.len());
            chunks.extend(page.chunks);
            keys.extend(page.keys);
        }
    }
    assert!(reader.has_all_chunks());
    assert_eq!(reader.wanted_from(), bytes.len() as u64);
    Ok(Manifest {
        geometry: reader.geometry().clone(),
        chunks,
        keys,
        config: reader.config().unwrap().to_vec(),
    })
}

#[test]
fn a_writer_puts_first_what_a_mount_needs() {
    let order: Vec<_> =
        sections(&three_pages()).iter().map(|(kind, index, _)| (*kind as u32, *index)).collect();
    assert_eq!(order, [(1, 0), (4, 0), (2, 0), (3, 0), (2, 1), (3, 1), (2, 2), (3, 2)]);
}

#[test]
fn any_order_of_the_sections_gives_the_same_manifest_whole_or_in_pieces() {
    let (manifest, new) = (three_pages(), sections(&three_pages()));
    let backwards = new.iter().rev().cloned().collect();
    for sections in [&new, &records_before_keys(&new), &backwards] {
        let bytes = write(manifest.chunks.len(), sections);
        let whole = SealedManifest::parse(bytes.clone().into()).unwrap();
        assert_eq!(whole.chunks(), manifest.chunks);
        assert_eq!(whole.open(&data_key()).unwrap(), manifest);
        for len in [1000, 1 << 14, bytes.len()] {
            assert_eq!(read_in_pieces(&bytes, len).unwrap(), manifest);
        }
        let (id, wrapped_anew) =
            whole.rewrap(&data_key(), &WrappedKey { bytes: vec![1], ..wrapped() }).unwrap();
        let wrapped_anew = SealedManifest::verify(&id, wrapped_anew.into()).unwrap();
        assert_eq!(wrapped_anew.open(&data_key()).unwrap(), manifest);
    }
}

#[test]
fn the_first_page_is_there_long_before_the_last() {
    let bytes = write(three_pages().chunks.len(), &sections(&three_pages()));
    let mut reader = reader(&bytes, data_key()).unwrap();
    let from = reader.wanted_from() as usize;
    reader.push(&bytes[from..bytes.len() * 2 / 3]);
    assert_eq!(reader.read().unwrap().unwrap().chunks, three_pages().chunks[..CHUNKS_PER_PAGE]);
    assert!(reader.config().is_some() && !reader.has_all_chunks());
    assert_eq!(reader.read().unwrap(), None);
}

#[test]
fn a_front_says_when_it_is_too_short_and_whose_it_is() {
    let (id, bytes) = manifest_bytes();
    let geometry_end = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize + 124;
    for len in 0..bytes.len() {
        let front = SealedFront::read(&id, &Bytes::copy_from_slice(&bytes[..len])).unwrap();
        assert_eq!(front.is_some(), len >= geometry_end, "{len} bytes");
    }
    let other = ManifestId::from_bytes([7; 32]);
    let refused = SealedFront::read(&other, &bytes.clone().into()).unwrap_err();
    assert_eq!(refused, FormatError::WrongManifest { expected: other, found: id });
    let front = SealedFront::read(&id, &bytes.into()).unwrap().unwrap();
    let refused = front.open(DataKey::from_bytes([1; 32])).unwrap_err();
    assert_eq!(refused, FormatError::WrongDataKey { manifest: id });
}

#[test]
fn a_section_that_is_missing_there_twice_or_unknown_is_refused() {
    let (count, whole) = (three_pages().chunks.len(), sections(&three_pages()));
    let refused = |sections: &Sections| SealedManifest::parse(write(count, sections).into()).unwrap_err();
    let replaced = |at: usize, with: (Kind, u32, Vec<u8>)| {
        let mut sections = whole.clone();
        sections[at] = with;
        sections
    };
    assert!(matches!(refused(&whole[..7].to_vec()), FormatError::BadGeometry { .. }), "one is missing");
    let twice = refused(&replaced(6, whole[4].clone()));
    assert_eq!(twice, FormatError::UnexpectedSection { number: 6, kind: 2, index: 1 });
    let beyond = refused(&replaced(6, (Kind::ChunkPage, 3, whole[6].2.clone())));
    assert_eq!(beyond, FormatError::UnexpectedSection { number: 6, kind: 2, index: 3 });
    let short = refused(&replaced(2, (Kind::ChunkPage, 0, whole[6].2.clone())));
    assert!(matches!(short, FormatError::WrongLength { what: "chunk page", .. }), "{short}");
}

#[test]
fn pages_that_changed_places_are_refused() {
    let (count, whole) = (three_pages().chunks.len(), sections(&three_pages()));
    let swapped = |kinds: [usize; 2]| {
        let mut sections = whole.clone();
        let [one, other] = kinds.map(|at| sections[at].2.clone());
        (sections[kinds[0]].2, sections[kinds[1]].2) = (other, one);
        write(count, &sections)
    };
    let chunks = swapped([2, 4]);
    assert!(matches!(SealedManifest::parse(chunks.into()), Err(FormatError::BadChunk { .. })));
    let keys = swapped([3, 5]);
    let not_authentic = FormatError::NotAuthentic { what: "key page" };
    let opened = SealedManifest::parse(keys.clone().into()).unwrap().open(&data_key());
    assert_eq!(opened.unwrap_err(), not_authentic);
    assert_eq!(read_in_pieces(&keys, 5000).unwrap_err(), not_authentic);
}

#[test]
fn a_page_that_came_damaged_is_never_given_and_can_come_again() {
    let manifest = three_pages();
    let bytes = write(manifest.chunks.len(), &sections(&manifest));
    for at in [bytes.len() - 1, bytes.len() - 7 * 32 - 16 - 1, bytes.len() / 2] {
        let mut reader = reader(&bytes, data_key()).unwrap();
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        reader.push(&damaged[reader.wanted_from() as usize..]);
        let mut chunks = Vec::new();
        let refused = loop {
            match reader.read() {
                Ok(page) => chunks.extend(page.unwrap().chunks),
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, FormatError::Damaged { .. }), "{refused}");
        assert_eq!(chunks, manifest.chunks[..chunks.len()]);
        reader.push(&bytes[reader.wanted_from() as usize..]);
        while let Some(page) = reader.read().unwrap() {
            chunks.extend(page.chunks);
        }
        assert_eq!(chunks, manifest.chunks);
    }
}
