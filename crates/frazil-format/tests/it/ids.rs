//! Names print, parse, and refuse what is not theirs; secrets do not print at all.

use frazil_format::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn ids_parse_what_they_print(bytes in any::<[u8; 32]>(), root in 0..100_000_000u32) {
        let id = ChunkId::from_bytes(bytes);
        prop_assert_eq!(id.to_string().parse::<ChunkId>().unwrap(), id);
        prop_assert_eq!(id.to_string().len(), 64);
        let root = RootId::from_number(root);
        prop_assert_eq!(root.to_string().parse::<RootId>().unwrap(), root);
    }

    #[test]
    fn an_id_has_one_spelling(text in "[0-9a-fA-F+]{1,70}") {
        if let Ok(id) = text.parse::<ChunkId>() {
            prop_assert_eq!(id.to_string(), text.clone());
        }
        if let Ok(root) = text.parse::<RootId>() {
            prop_assert_eq!(root.to_string(), text);
        }
    }
}

#[test]
fn what_is_no_id_is_quoted() {
    let refused = "xyz".parse::<ManifestId>().unwrap_err();
    assert_eq!(refused.to_string(), "not a ManifestId: \"xyz\"");
    for text in ["", "1", "+0000001", "0000001", "000000001", "-0000001"] {
        assert!(text.parse::<RootId>().is_err(), "{text:?}");
    }
    assert!("AB".repeat(32).parse::<ChunkId>().is_err(), "upper case is another spelling");
}

#[test]
fn secrets_keep_silent() {
    let secret = [0x5a; 32];
    let printed = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?}",
        ScopeSecret::from_bytes(secret),
        DataKey::from_bytes(secret),
        WrappingKey::from_bytes(secret),
        ChunkKey::from_bytes(secret),
        Sealer::new(&ScopeSecret::from_bytes(secret), RootId::FIRST),
        Payload::compress(&secret, Compression::None),
    );
    assert!(!printed.contains("90") && !printed.to_lowercase().contains("5a"), "{printed}");
}

#[test]
fn generated_secrets_differ() {
    assert_ne!(ScopeSecret::generate().unwrap(), ScopeSecret::generate().unwrap());
    assert_ne!(DataKey::generate().unwrap(), DataKey::generate().unwrap());
    assert_ne!(WrappingKey::generate().unwrap(), WrappingKey::generate().unwrap());
}
