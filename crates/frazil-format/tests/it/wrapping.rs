//! A wrapped data key opens for its tenant, its name and its wrapping key, and for nothing else.

use frazil_format::*;

#[test]
fn a_data_key_is_unwrapped_for_the_name_it_was_wrapped_for_and_for_no_other() {
    let (key, data_key) = (WrappingKey::generate().unwrap(), DataKey::generate().unwrap());
    let wrapped = key.wrap(&data_key, &wrap_context("acme", "app:1")).unwrap();
    assert_eq!(key.unwrap(&wrapped, &wrap_context("acme", "app:1")).unwrap(), data_key);

    let refused = FormatError::NotAuthentic { what: "wrapped data key" };
    for (tenant, name) in [("acme", "app:2"), ("evil", "app:1"), ("acm", "eapp:1"), ("", "acmeapp:1")] {
        assert_eq!(key.unwrap(&wrapped, &wrap_context(tenant, name)).unwrap_err(), refused);
    }
    let other = WrappingKey::generate().unwrap();
    assert_eq!(other.unwrap(&wrapped, &wrap_context("acme", "app:1")).unwrap_err(), refused);
}

#[test]
fn no_two_pairs_of_names_have_one_context() {
    assert_ne!(wrap_context("a", "bc"), wrap_context("ab", "c"));
    assert_ne!(wrap_context("", "abc"), wrap_context("abc", ""));
    // Nor has a scope that of an image, whatever either is called.
    assert_ne!(scope_wrap_context("a", "b").as_bytes(), wrap_context("a", "b").as_bytes());
    let image = wrap_context("a", "b\u{5}\0\0\0\0\0\0\0scope");
    assert_ne!(scope_wrap_context("a", "b").as_bytes(), image.as_bytes());
}

#[test]
fn wrapping_twice_never_gives_the_same_bytes() {
    let (key, data_key) = (WrappingKey::generate().unwrap(), DataKey::generate().unwrap());
    assert_ne!(key.wrap(&data_key, b"context").unwrap(), key.wrap(&data_key, b"context").unwrap());
}

#[test]
fn any_change_to_a_wrapped_key_is_refused() {
    let (key, data_key) = (WrappingKey::generate().unwrap(), DataKey::generate().unwrap());
    let wrapped = key.wrap(&data_key, b"context").unwrap();
    for bit in 0..wrapped.len() * 8 {
        let mut changed = wrapped.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(key.unwrap(&changed, b"context").is_err(), "bit {bit}");
    }
    for len in 0..wrapped.len() {
        assert!(key.unwrap(&wrapped[..len], b"context").is_err(), "length {len}");
    }
    assert!(key.unwrap(&[&wrapped[..], &[0]].concat(), b"context").is_err());
}
