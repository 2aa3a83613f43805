//! Bundles: every chunk comes out as it went in, in whatever order segments come, and nothing that was changed does.

use frazil_format::*;

fn key() -> ProfileKey {
    DataKey::from_bytes([1; 32]).profile_key()
}

/// Sealed chunks of these lengths.
fn chunks(lens: &[usize]) -> Vec<(Chunk, SealedChunk)> {
    let sealer = Sealer::new(&ScopeSecret::from_bytes([7; 32]), RootId::FIRST);
    let mut offset = 0;
    let seal = |(number, &len): (usize, &usize)| {
        let bytes: Vec<u8> = (0..len).map(|at| (at * (number + 3) % 251) as u8).collect();
        let sealed = sealer.seal(&Payload::compress(&bytes, Compression::None)).unwrap();
        let (len, sealed_len) = (len as u32, sealed.chunk.len() as u32);
        let chunk = Chunk { offset, len, sealed_len, id: sealed.id };
        offset += u64::from(len);
        (chunk, sealed.chunk)
    };
    lens.iter().enumerate().map(seal).collect()
}

fn made(chunks: &[(Chunk, SealedChunk)]) -> (Bundle, Vec<u8>) {
    let id = BundleId::generate().unwrap();
    let mut sealer = BundleSealer::new(key(), id);
    let mut segments = Vec::new();
    for (_, sealed) in chunks {
        segments.extend(sealer.push(sealed).unwrap());
    }
    segments.extend(sealer.finish().unwrap());
    let bundle = Bundle { id, made_seconds: 1, chunks: (0..chunks.len() as u32).collect() };
    (bundle, segments.concat())
}

#[test]
fn every_chunk_comes_out_of_its_bundle_in_whatever_order_segments_come() {
    let lens = [1, 100, 262_000, 128, 1 << 20, 4 << 20, 17, 300_000, 5];
    let chunks = chunks(&lens);
    let (bundle, bytes) = made(&chunks);
    let table: Vec<Chunk> = chunks.iter().map(|(chunk, _)| *chunk).collect();
    let sealed_len = table.iter().map(|chunk| u64::from(chunk.sealed_len)).sum();
    assert_eq!(bytes.len() as u64, bundle_len(sealed_len));
    assert_eq!(bytes.len() % (1 << 20), 0);

    let segments: Vec<&[u8]> = bytes.chunks(SEGMENT_LEN as usize).collect();
    let mut backwards: Vec<usize> = (0..segments.len()).rev().collect();
    for order in [(0..segments.len()).collect(), std::mem::take(&mut backwards)] {
        let mut opener = BundleOpener::new(key(), &bundle, &table).unwrap();
        assert_eq!(opener.len(), bytes.len() as u64);
        assert!(opener.filled_segments() <= segments.len());
        let mut found = Vec::new();
        for number in order {
            found.extend(opener.open(number, segments[number]).unwrap());
        }
        found.sort_by_key(|(index, _)| *index);
        assert_eq!(found.len(), chunks.len());
        for ((index, sealed), (number, (_, original))) in found.iter().zip(chunks.iter().enumerate()) {
            assert_eq!((*index as usize, sealed.bytes()), (number, original.bytes()));
        }
    }
}

#[test]
fn a_changed_segment_a_foreign_key_and_a_segment_in_anothers_place_are_refused() {
    let chunks = chunks(&[300_000, 300_000]);
    let (bundle, bytes) = made(&chunks);
    let table: Vec<Chunk> = chunks.iter().map(|(chunk, _)| *chunk).collect();
    let opener = || BundleOpener::new(key(), &bundle, &table).unwrap();
    let segment = SEGMENT_LEN as usize;
    for at in [0, 1000, segment - 17, segment - 1] {
        let mut changed = bytes[..segment].to_vec();
        changed[at] ^= 1;
        assert!(matches!(opener().open(0, &changed), Err(FormatError::NotAuthentic { .. })), "byte {at}");
    }
    assert!(opener().open(1, &bytes[..segment]).is_err(), "in another's place");
    assert!(opener().open(0, &bytes[..segment - 1]).is_err(), "shorter");
    assert!(opener().open(4, &bytes[..segment]).is_err(), "behind the end");
    let other = DataKey::from_bytes([2; 32]).profile_key();
    let mut foreign = BundleOpener::new(other, &bundle, &table).unwrap();
    assert!(foreign.open(0, &bytes[..segment]).is_err(), "another manifest's key");
    let mut twice = opener();
    twice.open(0, &bytes[..segment]).unwrap();
    assert!(twice.open(0, &bytes[..segment]).is_err(), "twice");
}

#[test]
fn a_bundle_that_says_other_chunks_than_it_holds_gives_none_of_them() {
    let chunks = chunks(&[1000, 1000]);
    let (bundle, bytes) = made(&chunks);
    let table: Vec<Chunk> = chunks.iter().map(|(chunk, _)| *chunk).collect();
    let swapped = Bundle { chunks: vec![1, 0], ..bundle.clone() };
    let mut opener = BundleOpener::new(key(), &swapped, &table).unwrap();
    assert!(matches!(opener.open(0, &bytes[..SEGMENT_LEN as usize]), Err(FormatError::WrongChunk { .. })));
    let absent = Bundle { chunks: vec![2], ..bundle };
    assert!(BundleOpener::new(key(), &absent, &table).is_err());
}

#[test]
fn bundles_of_one_mib_more_or_less_look_alike() {
    let (_, small) = made(&chunks(&[10]));
    let (_, larger) = made(&chunks(&[900_000]));
    assert_eq!(small.len(), larger.len());
    let zeros = larger.iter().filter(|&&byte| byte == 0).count();
    assert!((2000..7000).contains(&zeros), "{zeros} zeros of a million bytes: the padding shows");
}

#[test]
fn a_bundle_is_not_made_longer_than_it_may_be() {
    let chunk = chunks(&[4 << 20]).remove(0).1;
    let mut sealer = BundleSealer::new(key(), BundleId::generate().unwrap());
    let refused = (0..200).find_map(|_| sealer.push(&chunk).err()).expect("it ends some time");
    assert!(matches!(refused, FormatError::TooLong { what: "bundle", .. }));
}
