//! Forged files: what somebody who holds every key could write. Hashes, tags and ciphers are right, the rest is
//! the fuzzer's, so that it reaches the decoders behind them. Written from docs/FORMAT.md, not with the crate that
//! is tested.

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Key, Nonce};

/// The salt of every forged file.
pub const SALT: [u8; 32] = [3; 32];

/// The first so many bytes of the input, zeros where it has ended.
pub fn take(input: &mut &[u8], len: usize) -> Vec<u8> {
    let (taken, rest) = input.split_at(len.min(input.len()));
    *input = rest;
    let mut taken = taken.to_vec();
    taken.resize(len, 0);
    taken
}

/// A number below 65,536 from the input.
pub fn number(input: &mut &[u8]) -> usize {
    take(input, 2).iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte))
}

/// A derived key.
pub fn derive(context: &str, material: &[&[u8]]) -> [u8; 32] {
    blake3::derive_key(context, &material.concat())
}

/// Sealed bytes.
pub fn seal(key: [u8; 32], plain: &[u8]) -> Vec<u8> {
    let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(key));
    cipher.encrypt(&Nonce::from([0; 12]), plain).expect("an input is never too long to be sealed")
}

/// A keyed hash.
pub fn tag(key: [u8; 32], bytes: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(&key, bytes).as_bytes()
}
