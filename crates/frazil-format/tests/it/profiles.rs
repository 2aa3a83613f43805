//! Profiles: what is sealed opens, whatever is changed is refused, and nothing but a length shows.

use frazil_format::bounds::{MAX_PROFILE_CHUNKS, MAX_PROFILES, MAX_PROFILES_LEN};
use frazil_format::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn key() -> ProfileKey {
    DataKey::from_bytes([1; 32]).profile_key()
}

fn profile(word: &str, chunks: u32) -> Profile {
    Profile {
        label: Label::command(&[word]),
        starts: 1,
        precision: 1000,
        recorded_seconds: 7,
        chunks: (0..chunks).map(|chunk| ProfiledChunk { chunk, position: chunk * 16, history: 1 }).collect(),
        bundle: None,
    }
}

fn any_profile() -> impl Strategy<Value = Profile> {
    let chunks = vec((0..500_u32, any::<u32>(), 1..u16::MAX), 0..400);
    (vec(vec(any::<u8>(), 0..90), 0..5), chunks, any::<u32>(), 0..=1000_u16, any::<bool>()).prop_map(
        |(words, chunks, starts, precision, bundled)| {
            let mut seen = std::collections::HashSet::new();
            let mut chunks: Vec<_> = chunks
                .into_iter()
                .filter(|(chunk, ..)| seen.insert(*chunk))
                .map(|(chunk, position, history)| ProfiledChunk { chunk, position, history })
                .collect();
            chunks.sort_by_key(|chunk| (chunk.position, chunk.chunk));
            let bundle = (bundled && !chunks.is_empty()).then(|| Bundle {
                id: BundleId::generate().unwrap(),
                made_seconds: 3,
                chunks: chunks.iter().map(|chunk| chunk.chunk).collect(),
            });
            let label = Label::command(&words);
            Profile { label, starts, precision, recorded_seconds: u64::from(starts), chunks, bundle }
        },
    )
}

proptest! {
    #[test]
    fn what_is_sealed_opens_to_the_same(profiles in vec(any_profile(), 0..6)) {
        let mut set = Profiles::default();
        profiles.into_iter().for_each(|profile| set.put(profile));
        let bytes = set.seal(&key(), 500).unwrap();
        prop_assert!(bytes.len().is_power_of_two() && bytes.len() >= 4096);
        prop_assert_eq!(Profiles::open(&bytes, &key(), 500).unwrap(), set);
    }

    #[test]
    fn no_bytes_make_opening_panic(bytes in vec(any::<u8>(), 0..5000)) {
        prop_assert!(Profiles::open(&bytes, &key(), 500).is_err());
    }
}

#[test]
fn any_flipped_bit_and_any_other_length_is_refused() {
    let bytes = Profiles(vec![profile("server", 40)]).seal(&key(), 40).unwrap();
    for at in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[at / 8] ^= 1 << (at % 8);
        assert!(Profiles::open(&changed, &key(), 40).is_err(), "bit {at}");
    }
    for len in [0, 1, 47, 48, 64, 2048, 4095] {
        assert!(Profiles::open(&bytes[..len], &key(), 40).is_err(), "{len} bytes");
    }
    assert!(Profiles::open(&[&bytes[..], &bytes[..]].concat(), &key(), 40).is_err());
}

#[test]
fn another_manifests_key_or_chunks_do_not_open_it() {
    let bytes = Profiles(vec![profile("server", 40)]).seal(&key(), 40).unwrap();
    let other = DataKey::from_bytes([2; 32]).profile_key();
    assert!(matches!(Profiles::open(&bytes, &other, 40), Err(FormatError::NotAuthentic { .. })));
    assert!(matches!(Profiles::open(&bytes, &key(), 39), Err(FormatError::BadProfile { .. })));
}

#[test]
fn profiles_of_one_chunk_and_of_three_hundred_look_alike() {
    let one = Profiles(vec![profile("a", 1)]).seal(&key(), 400).unwrap();
    let many = Profiles(vec![profile("a much longer command", 150), profile("b", 100)]);
    let many = many.seal(&key(), 400).unwrap();
    assert_eq!(one.len(), many.len());
    assert_eq!(one[..16], many[..16]);
    let shared = one.iter().zip(&many).skip(16).filter(|(a, b)| a == b).count();
    assert!(shared < 64, "{shared} of 4080 bytes are the same: they are not random");
    let again = Profiles(vec![profile("a", 1)]).seal(&key(), 400).unwrap();
    assert_ne!(one[48..], again[48..], "every version has a key of its own");
}

#[test]
fn what_could_not_be_opened_is_not_sealed() {
    let seal = |profiles: Vec<Profile>| Profiles(profiles).seal(&key(), 100_000).map(|bytes| bytes.len());
    assert!(seal(vec![profile("a", 1), profile("a", 2)]).is_err(), "one label twice");
    let mut unordered = profile("a", 2);
    unordered.chunks.swap(0, 1);
    assert!(seal(vec![unordered]).is_err(), "out of order");
    let mut twice = profile("a", 2);
    twice.chunks[1].chunk = 0;
    assert!(seal(vec![twice]).is_err(), "a chunk twice");
    let mut never = profile("a", 1);
    never.chunks[0].history = 0;
    assert!(seal(vec![never]).is_err(), "never touched");
    assert!(seal(vec![profile("a", MAX_PROFILE_CHUNKS as u32 + 1)]).is_err(), "too long");
    let many = |count| (0..count).map(|number: u64| profile(&number.to_string(), 1)).collect::<Vec<_>>();
    assert!(seal(many(MAX_PROFILES)).is_ok() && seal(many(MAX_PROFILES + 1)).is_err());
    let large = (0..8).map(|number| profile(&number.to_string(), MAX_PROFILE_CHUNKS as u32));
    assert!(matches!(seal(large.collect()), Err(FormatError::TooLong { limit: MAX_PROFILES_LEN, .. })));
}

#[test]
fn commands_that_read_alike_have_labels_of_their_own() {
    let labels = [
        Label::command(&["cat", "a b"]),
        Label::command(&["cat", "a", "b"]),
        Label::command(&["cat a b"]),
        Label::command(&["cat", "a b", ""]),
        Label::mount("cat a b"),
        Label::mount(""),
    ];
    let ids: std::collections::HashSet<_> = labels.iter().map(|label| label.id).collect();
    assert_eq!(ids.len(), labels.len());
    assert!(Label::command(&["é".repeat(1000)]).text.len() <= 256);
}
