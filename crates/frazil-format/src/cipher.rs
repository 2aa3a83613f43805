//! AES-256-GCM with keys that seal exactly one message.
//!
//! Invariant: the nonce is zero and the associated data empty, always. That is safe because every key is derived
//! from the message itself (chunks) or from a fresh salt (everything else), so that no key ever sees a second
//! message; it stays safe only while the associated data is constant too (docs/FORMAT.md, "Sealing").

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// The length of the cipher's tag behind the ciphertext, in bytes.
pub(crate) const TAG_LEN: usize = 16;

/// The bytes do not open with this key.
#[derive(Debug)]
pub(crate) struct NotAuthentic;

/// The cipher refused to seal.
#[derive(Debug)]
pub(crate) struct CannotSeal;

/// A key that has sealed nothing yet. Sealing consumes it.
pub(crate) struct OneTimeKey(Zeroizing<[u8; 32]>);

impl OneTimeKey {
    /// A key that nothing else was or will be sealed with.
    pub(crate) fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// Ciphertext and tag of a message, in one buffer of exactly that size.
    pub(crate) fn seal(self, plain: &[u8]) -> Result<Vec<u8>, CannotSeal> {
        let mut sealed = vec![0; plain.len() + TAG_LEN];
        let (body, tag) = sealed.split_at_mut(plain.len());
        cipher(&self.0)
            .ok_or(CannotSeal)?
            .seal_out_of_place_scatter(zero_nonce(), Aad::empty(), plain, body, &[], tag)
            .map_err(|_| CannotSeal)?;
        Ok(sealed)
    }
}

/// The length of the message in this many sealed bytes.
pub(crate) fn plain_len(sealed_len: usize) -> Result<usize, NotAuthentic> {
    sealed_len.checked_sub(TAG_LEN).ok_or(NotAuthentic)
}

/// Opens sealed bytes into a buffer of [`plain_len`] bytes. What the buffer holds after an error is undefined.
pub(crate) fn open_into(key: &[u8; 32], sealed: &[u8], plain: &mut [u8]) -> Result<(), NotAuthentic> {
    let (body, tag) = sealed.split_at_checked(plain_len(sealed.len())?).ok_or(NotAuthentic)?;
    cipher(key)
        .ok_or(NotAuthentic)?
        .open_separate_gather(zero_nonce(), Aad::empty(), body, tag, plain)
        .map_err(|_| NotAuthentic)
}

/// Opens sealed bytes into a buffer of their own, which is wiped when dropped.
pub(crate) fn open(key: &[u8; 32], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
    let mut plain = Zeroizing::new(vec![0; plain_len(sealed.len())?]);
    open_into(key, sealed, &mut plain)?;
    Ok(plain)
}

fn cipher(key: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, key).ok().map(LessSafeKey::new)
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}
