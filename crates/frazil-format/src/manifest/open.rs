//! A manifest's bytes into values, in two steps: [`SealedManifest`] is what anyone can read and check for rot;
//! [`Manifest`] is what the data key opens and proves authentic.

use bytes::Bytes;
use zeroize::Zeroizing;

use super::chunk_page;
use super::header::{Draft, Header, Kind, Section, WHAT};
use super::seal::{ManifestKeys, finish};
use super::{Chunk, Geometry, Manifest, check, geometry};
use crate::bounds::MAX_CONFIG_LEN;
use crate::cipher;
use crate::domains::tag;
use crate::secret::same;
use crate::{ChunkKey, DataKey, FormatError, ManifestId, WrappedKey, packed};

/// A manifest whose sections have the hashes that its header says, and whose clear values make sense. Whether
/// they are authentic is known only when it is opened, or if the id came from someone trusted.
#[derive(Clone, Debug)]
pub struct SealedManifest {
    id: ManifestId,
    bytes: Bytes,
    header: Header,
    geometry: Geometry,
    chunks: Vec<Chunk>,
}

impl SealedManifest {
    /// Reads what is clear, and checks the hash of every section.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn parse(bytes: Bytes) -> Result<Self, FormatError> {
        let header = Header::parse(&bytes)?;
        for section in &header.sections {
            let stored = stored(&bytes, section)?;
            if blake3::hash(stored) != section.hash {
                return Err(FormatError::Damaged { what: section.kind.name(), number: section.index.into() });
            }
        }
        let mut geometry = None;
        let mut chunks = Vec::new();
        for section in &header.sections {
            match section.kind {
                Kind::Geometry => geometry = Some(geometry::decode(stored(&bytes, section)?, header.root)?),
                Kind::ChunkPage => chunks.extend(chunk_page::decode(stored(&bytes, section)?)),
                Kind::KeyPage | Kind::Config => {}
            }
        }
        let geometry = geometry.ok_or(FormatError::BadGeometry { problem: "it is missing" })?;
        check::geometry(&geometry)?;
        check::chunks(&geometry, &chunks)?;
        let clear_header = bytes.get(..header.len).unwrap_or_default();
        let id = ManifestId::from_bytes(*blake3::hash(clear_header).as_bytes());
        Ok(Self { id, bytes, header, geometry, chunks })
    }

    /// [`SealedManifest::parse`], if the bytes are the manifest that the id names.
    ///
    /// # Errors
    /// [`FormatError::WrongManifest`] if they are another; otherwise what is wrong with them.
    pub fn verify(id: &ManifestId, bytes: Bytes) -> Result<Self, FormatError> {
        let manifest = Self::parse(bytes)?;
        let found = manifest.id;
        if found == *id { Ok(manifest) } else { Err(FormatError::WrongManifest { expected: *id, found }) }
    }

    /// The manifest's name: it commits to every byte.
    pub fn id(&self) -> ManifestId {
        self.id
    }

    /// What the manifest says of its image, not yet authenticated.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Every chunk, sorted by offset, not yet authenticated.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The data key, wrapped.
    pub fn wrapped_key(&self) -> &WrappedKey {
        &self.header.wrapped
    }

    /// The bytes that were parsed.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Opens the manifest: all of what this returns is authentic.
    ///
    /// # Errors
    /// [`FormatError::WrongDataKey`] with another data key; [`FormatError::NotAuthentic`] if anything was changed.
    pub fn open(&self, data_key: &DataKey) -> Result<Manifest, FormatError> {
        let keys = self.authenticate(data_key)?;
        let mut chunk_keys = Vec::with_capacity(self.chunks.len());
        let mut config = Vec::new();
        for section in &self.header.sections {
            match section.kind {
                Kind::Geometry | Kind::ChunkPage => {}
                Kind::KeyPage => chunk_keys.extend(chunk_keys_in(&self.open_section(&keys, section)?)),
                Kind::Config => config = config_in(&self.open_section(&keys, section)?)?,
            }
        }
        let (keys, chunks) = (chunk_keys.len() as u64, self.chunks.len() as u64);
        if keys != chunks {
            return Err(FormatError::KeyCount { keys, chunks });
        }
        Ok(Manifest {
            geometry: self.geometry.clone(),
            chunks: self.chunks.clone(),
            keys: chunk_keys,
            config,
        })
    }

    /// The same manifest with its data key wrapped anew, and its new id: only the header differs.
    ///
    /// # Errors
    /// Those of [`SealedManifest::open`] but for the sections, which are taken as they are.
    pub fn rewrap(
        &self,
        data_key: &DataKey,
        wrapped: &WrappedKey,
    ) -> Result<(ManifestId, Vec<u8>), FormatError> {
        let keys = self.authenticate(data_key)?;
        let section =
            |section: &Section| Ok((section.kind, section.index, stored(&self.bytes, section)?.to_vec()));
        let sections = self.header.sections.iter().map(section).collect::<Result<Vec<_>, FormatError>>()?;
        let draft = Draft {
            root: self.header.root,
            chunk_count: self.chunks.len() as u64,
            salt: self.header.salt,
            commitment: self.header.commitment,
            wrapped,
            sections: &sections,
        };
        finish(&draft, &keys)
    }

    /// Whether the header, and with it every section's hash, was written by a holder of the data key.
    fn authenticate<'a>(&'a self, data_key: &'a DataKey) -> Result<ManifestKeys<'a>, FormatError> {
        let keys = ManifestKeys { data_key, salt: &self.header.salt };
        if !same(&keys.commitment(), &self.header.commitment) {
            return Err(FormatError::WrongDataKey { manifest: self.id });
        }
        let tagged = self.header.len.checked_sub(self.header.tag.len()).and_then(|len| self.bytes.get(..len));
        if !same(&tag(&keys.header(), tagged.unwrap_or_default()), &self.header.tag) {
            return Err(FormatError::NotAuthentic { what: "header of a manifest" });
        }
        Ok(keys)
    }

    fn open_section(
        &self,
        keys: &ManifestKeys<'_>,
        section: &Section,
    ) -> Result<Zeroizing<Vec<u8>>, FormatError> {
        let key = keys.section(section.kind, section.index);
        cipher::open(&key, stored(&self.bytes, section)?)
            .map_err(|cipher::NotAuthentic| FormatError::NotAuthentic { what: section.kind.name() })
    }
}

fn chunk_keys_in(page: &[u8]) -> impl Iterator<Item = ChunkKey> {
    let (keys, _) = page.as_chunks();
    keys.iter().copied().map(ChunkKey::from_bytes)
}

fn config_in(section: &[u8]) -> Result<Vec<u8>, FormatError> {
    Ok(packed::unpack(section, MAX_CONFIG_LEN, "configuration")?.to_vec())
}

/// A section's stored bytes.
fn stored<'a>(bytes: &'a [u8], section: &Section) -> Result<&'a [u8], FormatError> {
    let range = || {
        let start = usize::try_from(section.offset).ok()?;
        let len = usize::try_from(section.len).ok()?;
        bytes.get(start..)?.get(..len)
    };
    let (expected, present) = (section.offset.saturating_add(section.len), bytes.len() as u64);
    range().ok_or(FormatError::WrongLength { what: WHAT, expected, present })
}
