//! One section's stored bytes: verified by its hash, then opened by its key.

use zeroize::Zeroizing;

use super::header::{Section, WHAT};
use super::seal::ManifestKeys;
use crate::bounds::MAX_CONFIG_LEN;
use crate::cipher;
use crate::{ChunkKey, FormatError, packed};

/// A section's stored bytes, out of those of the whole manifest, or of its beginning.
pub(super) fn stored<'a>(bytes: &'a [u8], section: &Section) -> Result<&'a [u8], FormatError> {
    let range = || {
        let start = usize::try_from(section.offset).ok()?;
        let len = usize::try_from(section.len).ok()?;
        bytes.get(start..)?.get(..len)
    };
    let (expected, present) = (section.offset.saturating_add(section.len), bytes.len() as u64);
    range().ok_or(FormatError::WrongLength { what: WHAT, expected, present })
}

/// As [`stored`], if the bytes have the hash that the header says.
pub(super) fn verified<'a>(bytes: &'a [u8], section: &Section) -> Result<&'a [u8], FormatError> {
    let stored = stored(bytes, section)?;
    verify(stored, section).map(|()| stored)
}

/// Whether a section's stored bytes have the hash that the header says.
pub(super) fn verify(stored: &[u8], section: &Section) -> Result<(), FormatError> {
    if blake3::hash(stored) == section.hash {
        return Ok(());
    }
    Err(FormatError::Damaged { what: section.kind.name(), number: section.index.into() })
}

/// What a sealed section holds.
pub(super) fn open(
    keys: &ManifestKeys<'_>,
    section: &Section,
    stored: &[u8],
) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let key = keys.section(section.kind, section.index);
    cipher::open(&key, stored)
        .map_err(|cipher::NotAuthentic| FormatError::NotAuthentic { what: section.kind.name() })
}

/// The keys of an opened key page.
pub(super) fn chunk_keys_in(page: &[u8]) -> impl Iterator<Item = ChunkKey> {
    let (keys, _) = page.as_chunks();
    keys.iter().copied().map(ChunkKey::from_bytes)
}

/// The configuration in its opened section.
pub(super) fn config_in(section: &[u8]) -> Result<Vec<u8>, FormatError> {
    Ok(packed::unpack(section, MAX_CONFIG_LEN, "configuration")?.to_vec())
}
