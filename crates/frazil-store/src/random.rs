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
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()) {
            Ok(len) => filled += len,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(StoreError::io("draw", "random bytes", errno.into())),
        }
    }
    Ok(bytes)
}

/// Eight of them as hexadecimal digits: what sets one version of a record apart from every other.
pub(crate) fn stamp() -> Result<String, StoreError> {
    bytes::<8>().map(hex::encode)
}
