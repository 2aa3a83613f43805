//! Manifests: what goes in comes out, for whoever has the data key; without it, the clear parts.

use frazil_format::*;
use proptest::prelude::*;

use crate::values::{large_manifest, manifests, wrapped};

proptest! {
    #[test]
    fn what_was_sealed_opens(manifest in manifests(), data_key in any::<[u8; 32]>()) {
        let data_key = DataKey::from_bytes(data_key);
        let (id, bytes) = manifest.seal(&data_key, wrapped()).unwrap();
        let sealed = SealedManifest::verify(&id, bytes.into()).unwrap();
        prop_assert_eq!(sealed.geometry(), &manifest.geometry);
        prop_assert_eq!(sealed.chunks(), &manifest.chunks[..]);
        prop_assert_eq!(sealed.wrapped_key(), &wrapped());
        prop_assert_eq!(sealed.open(&data_key).unwrap(), manifest);
    }

    #[test]
    fn keys_and_configuration_do_not_show(manifest in manifests()) {
        let (_, bytes) = manifest.seal(&DataKey::generate().unwrap(), wrapped()).unwrap();
        let shows = |secret: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
        prop_assert!(!manifest.keys.iter().any(|key| shows(key.as_bytes())));
        prop_assert!(manifest.config.len() < 8 || !shows(&manifest.config));
    }

    #[test]
    fn any_bytes_at_all_give_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(SealedManifest::parse(bytes.into()).is_err());
    }
}

#[test]
fn pages_fill_up_and_spill_over() {
    for chunk_count in [0, 1, 1023, 1024, 1025, 2048, 2049] {
        let manifest = large_manifest(chunk_count);
        let data_key = DataKey::generate().unwrap();
        let (id, bytes) = manifest.seal(&data_key, wrapped()).unwrap();
        let opened = SealedManifest::verify(&id, bytes.into()).unwrap().open(&data_key).unwrap();
        assert_eq!(opened, manifest, "{chunk_count} chunks");
    }
}

#[test]
fn another_data_key_is_named_as_the_cause() {
    let (id, bytes) = large_manifest(3).seal(&DataKey::generate().unwrap(), wrapped()).unwrap();
    let sealed = SealedManifest::parse(bytes.into()).unwrap();
    let refused = sealed.open(&DataKey::generate().unwrap()).unwrap_err();
    assert_eq!(refused, FormatError::WrongDataKey { manifest: id });
}

#[test]
fn one_data_key_never_seals_the_same_bytes_twice() {
    let (manifest, data_key) = (large_manifest(3), DataKey::generate().unwrap());
    let (one, one_bytes) = manifest.seal(&data_key, wrapped()).unwrap();
    let (other, other_bytes) = manifest.seal(&data_key, wrapped()).unwrap();
    assert_ne!(one, other);
    let tail = |bytes: &[u8]| bytes[bytes.len() - 40..].to_vec();
    assert_ne!(tail(&one_bytes), tail(&other_bytes), "the sealed configuration");
}

#[test]
fn another_manifest_than_the_one_asked_for_is_refused() {
    let data_key = DataKey::generate().unwrap();
    let (one, _) = large_manifest(1).seal(&data_key, wrapped()).unwrap();
    let (other, bytes) = large_manifest(2).seal(&data_key, wrapped()).unwrap();
    let refused = SealedManifest::verify(&one, bytes.into()).unwrap_err();
    assert_eq!(refused, FormatError::WrongManifest { expected: one, found: other });
}

#[test]
fn a_key_wrapped_anew_changes_the_header_and_nothing_behind_it() {
    let (manifest, data_key) = (large_manifest(1500), DataKey::generate().unwrap());
    let (id, bytes) = manifest.seal(&data_key, wrapped()).unwrap();
    let sealed = SealedManifest::verify(&id, bytes.clone().into()).unwrap();
    let longer = WrappedKey { key_id: "another, longer key".into(), bytes: vec![9; 100], ..wrapped() };

    let (new_id, new_bytes) = sealed.rewrap(&data_key, &longer).unwrap();
    let rewrapped = SealedManifest::verify(&new_id, new_bytes.clone().into()).unwrap();
    assert_ne!(new_id, id);
    assert_eq!(rewrapped.wrapped_key(), &longer);
    assert_eq!(rewrapped.open(&data_key).unwrap(), manifest);
    let sections =
        |bytes: &[u8]| bytes[u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize..].to_vec();
    assert_eq!(sections(&new_bytes), sections(&bytes));

    // Back again, it is what it was; and whoever has no key cannot do it.
    assert_eq!(rewrapped.rewrap(&data_key, &wrapped()).unwrap(), (id, bytes));
    let refused = sealed.rewrap(&DataKey::generate().unwrap(), &longer).unwrap_err();
    assert_eq!(refused, FormatError::WrongDataKey { manifest: id });
}
