//! A manifest's values into bytes. Chunk keys and configuration are sealed, each section with a key of its own
//! that derives from the data key and a fresh salt; the header's tag and section hashes authenticate the rest.

use zeroize::Zeroizing;

use super::chunk_page::{self, CHUNKS_PER_PAGE};
use super::header::{Draft, Kind};
use super::{Manifest, check, geometry};
use crate::bounds::{MAX_CONFIG_LEN, within};
use crate::cipher::{self, OneTimeKey};
use crate::domains::{MANIFEST_COMMITMENT, MANIFEST_HEADER, MANIFEST_SECTION, tag};
use crate::{ChunkKey, DataKey, FormatError, ManifestId, WrappedKey, packed, secret};

impl Manifest {
    /// The manifest's id and its bytes, sealed with its image's data key.
    ///
    /// # Errors
    /// What would make [`super::SealedManifest::open`] refuse the manifest; [`FormatError::NoRandomness`].
    pub fn seal(
        &self,
        data_key: &DataKey,
        wrapped: WrappedKey,
    ) -> Result<(ManifestId, Vec<u8>), FormatError> {
        self.seal_with_salt(data_key, &wrapped, secret::random()?)
    }

    /// [`Manifest::seal`] with a given salt: only for tests, which need the same bytes every time.
    ///
    /// # Errors
    /// As for [`Manifest::seal`].
    #[cfg(feature = "testing")]
    pub fn seal_again(
        &self,
        data_key: &DataKey,
        wrapped: &WrappedKey,
        salt: [u8; 32],
    ) -> Result<(ManifestId, Vec<u8>), FormatError> {
        self.seal_with_salt(data_key, wrapped, salt)
    }

    pub(crate) fn seal_with_salt(
        &self,
        data_key: &DataKey,
        wrapped: &WrappedKey,
        salt: [u8; 32],
    ) -> Result<(ManifestId, Vec<u8>), FormatError> {
        self.check()?;
        let keys = ManifestKeys { data_key, salt: &salt };
        let sections = encode_sections(self, &keys)?;
        let draft = Draft {
            root: self.geometry.root,
            chunk_count: self.chunks.len() as u64,
            salt,
            commitment: *keys.commitment(),
            wrapped,
            sections: &sections,
        };
        finish(&draft, &keys)
    }

    fn check(&self) -> Result<(), FormatError> {
        check::geometry(&self.geometry)?;
        check::ChunkRules::new(&self.geometry).check(&self.chunks)?;
        within("configuration", self.config.len() as u64, MAX_CONFIG_LEN)?;
        let (keys, chunks) = (self.keys.len() as u64, self.chunks.len() as u64);
        if keys == chunks { Ok(()) } else { Err(FormatError::KeyCount { keys, chunks }) }
    }
}

/// The header with its tag, and the sections behind it.
pub(super) fn finish(
    draft: &Draft<'_>,
    keys: &ManifestKeys<'_>,
) -> Result<(ManifestId, Vec<u8>), FormatError> {
    let mut bytes = draft.encode()?;
    let tag = tag(&keys.header(), &bytes);
    bytes.extend_from_slice(&tag);
    let id = ManifestId::from_bytes(*blake3::hash(&bytes).as_bytes());
    for (_, _, section) in draft.sections {
        bytes.extend_from_slice(section);
    }
    Ok((id, bytes))
}

/// Kind, index and bytes of every section, in the order of the file: what a mount needs comes first, and every page of
/// chunks has its keys behind it.
pub(crate) fn encode_sections(
    manifest: &Manifest,
    keys: &ManifestKeys<'_>,
) -> Result<Vec<(Kind, u32, Vec<u8>)>, FormatError> {
    let config = packed::pack(&manifest.config, "configuration")?;
    let mut sections = vec![
        (Kind::Geometry, 0, geometry::encode(&manifest.geometry)?),
        (Kind::Config, 0, keys.seal(Kind::Config, 0, &config)?),
    ];
    let pages = manifest.chunks.chunks(CHUNKS_PER_PAGE).zip(manifest.keys.chunks(CHUNKS_PER_PAGE));
    for (index, (chunks, chunk_keys)) in (0..).zip(pages) {
        sections.push((Kind::ChunkPage, index, chunk_page::encode(chunks)));
        sections.push((Kind::KeyPage, index, keys.seal(Kind::KeyPage, index, &key_page(chunk_keys))?));
    }
    Ok(sections)
}

fn key_page(keys: &[ChunkKey]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(keys.len() * 32));
    for key in keys {
        bytes.extend_from_slice(key.as_bytes());
    }
    bytes
}

/// Everything that derives from one manifest's data key and salt.
pub(crate) struct ManifestKeys<'a> {
    pub(crate) data_key: &'a DataKey,
    pub(crate) salt: &'a [u8; 32],
}

impl ManifestKeys<'_> {
    /// The public commitment: a caller with another data key learns that before any cipher runs.
    pub(crate) fn commitment(&self) -> Zeroizing<[u8; 32]> {
        MANIFEST_COMMITMENT.derive(&[self.data_key.as_bytes(), self.salt])
    }

    /// The key of the header's tag.
    pub(crate) fn header(&self) -> Zeroizing<[u8; 32]> {
        MANIFEST_HEADER.derive(&[self.data_key.as_bytes(), self.salt])
    }

    /// The one-time key of one section.
    pub(super) fn section(&self, kind: Kind, index: u32) -> Zeroizing<[u8; 32]> {
        let (kind, index) = ((kind as u32).to_le_bytes(), index.to_le_bytes());
        MANIFEST_SECTION.derive(&[self.data_key.as_bytes(), self.salt, &kind, &index])
    }

    pub(crate) fn seal(&self, kind: Kind, index: u32, plain: &[u8]) -> Result<Vec<u8>, FormatError> {
        OneTimeKey::new(self.section(kind, index))
            .seal(plain)
            .map_err(|cipher::CannotSeal| FormatError::CannotSeal { what: kind.name() })
    }
}
