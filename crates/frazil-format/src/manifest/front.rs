//! The front of a manifest: its header and its geometry, which say all that can be known without the data key.
//!
//! Invariant: the header is the one that the manifest id names, if it was asked for by one, and the geometry has the
//! hash that the header says. Whether they are authentic is known when the data key has compared the tag.

use bytes::Bytes;

use super::header::{HEADER, Header, Kind, Section};
use super::seal::ManifestKeys;
use super::{Geometry, ManifestReader, check, geometry, section};
use crate::domains::tag;
use crate::secret::same;
use crate::{DataKey, FormatError, ManifestId, WrappedKey};

/// What a manifest begins with, not yet authenticated.
#[derive(Clone, Debug)]
pub struct SealedFront {
    id: ManifestId,
    /// The header's bytes.
    bytes: Bytes,
    pub(super) header: Header,
    geometry: Geometry,
}

impl SealedFront {
    /// What the first bytes of a manifest say, if it is the one that the id names; none if more bytes have to
    /// come first.
    ///
    /// # Errors
    /// [`FormatError::WrongManifest`] if it is another; otherwise what is wrong with the bytes.
    pub fn read(id: &ManifestId, bytes: &Bytes) -> Result<Option<Self>, FormatError> {
        let Some(header) = Header::parse(bytes)? else { return Ok(None) };
        let found = id_of(&header, bytes);
        if found != *id {
            return Err(FormatError::WrongManifest { expected: *id, found });
        }
        let is_here = |section: &Section| section.offset.saturating_add(section.len) <= bytes.len() as u64;
        let geometry = header.sections.iter().find(|section| section.kind == Kind::Geometry);
        if !geometry.is_some_and(is_here) {
            return Ok(None);
        }
        Self::of(header, bytes).map(Some)
    }

    /// The front of a manifest whose header and geometry are here.
    pub(super) fn of(header: Header, bytes: &Bytes) -> Result<Self, FormatError> {
        let place = header.sections.iter().find(|section| section.kind == Kind::Geometry);
        let place = place.ok_or(FormatError::BadGeometry { problem: "it is missing" })?;
        let geometry = geometry::decode(section::verified(bytes, place)?, header.root)?;
        check::geometry(&geometry)?;
        Ok(Self { id: id_of(&header, bytes), bytes: bytes.slice(..header.len), header, geometry })
    }

    /// The manifest's name.
    pub fn id(&self) -> ManifestId {
        self.id
    }

    /// What the manifest says of its image, not yet authenticated.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// How many chunks the image has, not yet authenticated.
    pub fn chunk_count(&self) -> usize {
        self.header.chunk_count
    }

    /// The data key, wrapped.
    pub fn wrapped_key(&self) -> &WrappedKey {
        &self.header.wrapped
    }

    /// The length of the whole manifest, in bytes.
    pub fn total_len(&self) -> u64 {
        self.header.total_len
    }

    /// The reader of the sections, given the data key: the header, which has their hashes, is authentic then.
    ///
    /// # Errors
    /// [`FormatError::WrongDataKey`] with another data key; [`FormatError::NotAuthentic`] if anything was changed.
    pub fn open(self, data_key: DataKey) -> Result<ManifestReader, FormatError> {
        self.authenticate(&data_key)?;
        Ok(ManifestReader::new(self, data_key))
    }

    /// Whether the header, and with it every section's hash, was written by a holder of the data key.
    pub(super) fn authenticate<'a>(&'a self, data_key: &'a DataKey) -> Result<ManifestKeys<'a>, FormatError> {
        let keys = self.keys(data_key);
        if !same(&keys.commitment(), &self.header.commitment) {
            return Err(FormatError::WrongDataKey { manifest: self.id });
        }
        let tagged = self.header.len.checked_sub(self.header.tag.len()).and_then(|len| self.bytes.get(..len));
        if !same(&tag(&keys.header(), tagged.unwrap_or_default()), &self.header.tag) {
            return Err(FormatError::NotAuthentic { what: HEADER });
        }
        Ok(keys)
    }

    /// What derives from the data key; whether that is the right one must be known already.
    pub(super) fn keys<'a>(&'a self, data_key: &'a DataKey) -> ManifestKeys<'a> {
        ManifestKeys { data_key, salt: &self.header.salt }
    }
}

fn id_of(header: &Header, bytes: &[u8]) -> ManifestId {
    let header = bytes.get(..header.len).unwrap_or_default();
    ManifestId::from_bytes(*blake3::hash(header).as_bytes())
}
