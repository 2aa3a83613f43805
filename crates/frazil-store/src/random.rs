//! Random bytes of the kernel, for names that must never collide. Keys are made where ciphers are, in
//! `frazil-format`.

use crate::StoreError;

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    #[cfg(test)]
    if crate::simulation::dice::fill(&mut bytes) {
        return Ok(bytes);
    }
    getrandom::fill(&mut bytes).map_err(|error| StoreError::io("draw", "random bytes", error.into()))?;
    Ok(bytes)
}

/// Eight random bytes as hexadecimal digits: they set one version of a record apart from every other.
pub(crate) fn stamp() -> Result<String, StoreError> {
    bytes::<8>().map(hex::encode)
}
