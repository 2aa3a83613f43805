//! A manifest's bytes into values, in two steps: [`SealedManifest`] is what anyone can read and check for rot;
//! [`Manifest`] is what the data key opens and proves authentic.

use bytes::Bytes;

use super::header::{Draft, Header, Kind, Section};
use super::seal::finish;
use super::{Chunk, Geometry, Manifest, SealedFront, check, chunk_page, section};
use crate::{DataKey, FormatError, ManifestId, WrappedKey};

/// A manifest whose sections have the hashes that its header says, and whose clear values make sense. Whether
/// they are authentic is known only when it is opened, or if the id came from someone trusted.
#[derive(Clone, Debug)]
pub struct SealedManifest {
    front: SealedFront,
    bytes: Bytes,
    chunks: Vec<Chunk>,
}

impl SealedManifest {
    /// Reads what is clear, and checks the hash of every section.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn parse(bytes: Bytes) -> Result<Self, FormatError> {
        let header = Header::parse_whole(&bytes)?;
        let mut pages = Vec::new();
        for section in &header.sections {
            let stored = section::verified(&bytes, section)?;
            if section.kind == Kind::ChunkPage {
                pages.push((section.index, stored));
            }
        }
        pages.sort_unstable_by_key(|(index, _)| *index);
        let chunks: Vec<Chunk> = pages.into_iter().flat_map(|(_, page)| chunk_page::decode(page)).collect();
        let front = SealedFront::of(header, &bytes)?;
        check::ChunkRules::new(front.geometry()).check(&chunks)?;
        Ok(Self { front, bytes, chunks })
    }

    /// [`SealedManifest::parse`], if the bytes are the manifest that the id names.
    ///
    /// # Errors
    /// [`FormatError::WrongManifest`] if they are another; otherwise what is wrong with them.
    pub fn verify(id: &ManifestId, bytes: Bytes) -> Result<Self, FormatError> {
        let manifest = Self::parse(bytes)?;
        let found = manifest.id();
        if found == *id { Ok(manifest) } else { Err(FormatError::WrongManifest { expected: *id, found }) }
    }

    /// The manifest's name: it commits to every byte.
    pub fn id(&self) -> ManifestId {
        self.front.id()
    }

    /// What the manifest begins with.
    pub fn front(&self) -> &SealedFront {
        &self.front
    }

    /// What the manifest says of its image, not yet authenticated.
    pub fn geometry(&self) -> &Geometry {
        self.front.geometry()
    }

    /// Every chunk, sorted by offset, not yet authenticated.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The data key, wrapped.
    pub fn wrapped_key(&self) -> &WrappedKey {
        self.front.wrapped_key()
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
        let keys = self.front.authenticate(data_key)?;
        let opened =
            |section: &Section| section::open(&keys, section, section::stored(&self.bytes, section)?);
        let mut pages = Vec::new();
        let mut config = Vec::new();
        for section in &self.front.header.sections {
            match section.kind {
                Kind::Geometry | Kind::ChunkPage => {}
                Kind::KeyPage => pages.push((section.index, opened(section)?)),
                Kind::Config => config = section::config_in(&opened(section)?)?,
            }
        }
        pages.sort_unstable_by_key(|(index, _)| *index);
        let chunk_keys: Vec<_> = pages.iter().flat_map(|(_, page)| section::chunk_keys_in(page)).collect();
        let (keys, chunks) = (chunk_keys.len() as u64, self.chunks.len() as u64);
        if keys != chunks {
            return Err(FormatError::KeyCount { keys, chunks });
        }
        Ok(Manifest {
            geometry: self.geometry().clone(),
            chunks: self.chunks.clone(),
            keys: chunk_keys,
            config,
        })
    }

    /// The manifest with its data key wrapped anew, and its new id: only the header differs.
    ///
    /// # Errors
    /// Those of [`SealedManifest::open`] but for the sections, which are taken as they are.
    pub fn rewrap(
        &self,
        data_key: &DataKey,
        wrapped: &WrappedKey,
    ) -> Result<(ManifestId, Vec<u8>), FormatError> {
        let keys = self.front.authenticate(data_key)?;
        let header = &self.front.header;
        let stored = |section: &Section| {
            Ok((section.kind, section.index, section::stored(&self.bytes, section)?.to_vec()))
        };
        let sections = header.sections.iter().map(stored).collect::<Result<Vec<_>, FormatError>>()?;
        let draft = Draft {
            root: header.root,
            chunk_count: self.chunks.len() as u64,
            salt: header.salt,
            commitment: header.commitment,
            wrapped,
            sections: &sections,
        };
        finish(&draft, &keys)
    }
}
