//! A layer index as bytes (docs/FORMAT.md, "Layer index").
//!
//! ```text
//! header ‖ chunk ids ‖ sealed body ‖ checksum ‖ tag
//! ```
//!
//! Header and chunk ids are clear, so that garbage collection can list chunks without a key; they say nothing of
//! which layer it is. The checksum finds rot without a key; the tag, keyed by the scope secret and the layer
//! index's own name, proves that the whole is the one that was asked for.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};
use zeroize::Zeroizing;

use super::{LayerIndex, body, check};
use crate::bounds::{MAX_LAYER_INDEX_BODY_LEN, within};
use crate::cipher::{self, OneTimeKey};
use crate::domains::{LAYER_INDEX_BODY, LAYER_INDEX_ID, LAYER_INDEX_TAG, tag};
use crate::secret::{random, same};
use crate::{ChunkId, DiffId, FormatError, LayerIndexId, RootId, ScopeSecret, packed};

const MAGIC: [u8; 8] = *b"frazilLI";
const VERSION: u32 = 1;
const WHAT: &str = "layer index";
/// Checksum and tag at the end, 32 bytes each.
const TRAILER_LEN: usize = 64;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: U32,
    root: U32,
    chunk_count: U64,
    body_len: U64,
    salt: [u8; 32],
}

/// The parts of a layer index whose checksum is right.
struct Parts<'a> {
    header: &'a Header,
    chunk_ids: &'a [[u8; 32]],
    body: &'a [u8],
    checksum: &'a [u8; 32],
    tag: &'a [u8; 32],
}

impl LayerIndexId {
    /// The name of the index of one layer, as cut with these parameters, in one scope and root.
    pub fn derive(secret: &ScopeSecret, root: RootId, diff_id: &DiffId, parameters: &[u8]) -> Self {
        let root = root.number().to_le_bytes();
        let id = LAYER_INDEX_ID.derive(&[secret.as_bytes(), &root, diff_id.as_bytes(), parameters]);
        Self::from_bytes(*id)
    }
}

impl LayerIndex {
    /// The bytes to store under this name.
    ///
    /// # Errors
    /// What would make [`LayerIndex::open`] refuse the index; [`FormatError::NoRandomness`].
    pub fn seal(
        &self,
        secret: &ScopeSecret,
        root: RootId,
        id: &LayerIndexId,
    ) -> Result<Vec<u8>, FormatError> {
        self.seal_with_salt(secret, root, id, random()?)
    }

    pub(crate) fn seal_with_salt(
        &self,
        secret: &ScopeSecret,
        root: RootId,
        id: &LayerIndexId,
        salt: [u8; 32],
    ) -> Result<Vec<u8>, FormatError> {
        check::check(self)?;
        let plain = body::encode(self)?;
        within("body of a layer index", plain.len() as u64, MAX_LAYER_INDEX_BODY_LEN)?;
        let material = Material { secret, root, id, salt: &salt };
        let sealed = OneTimeKey::new(material.body_key())
            .seal(&packed::pack(&plain, WHAT)?)
            .map_err(|cipher::CannotSeal| FormatError::CannotSeal { what: WHAT })?;
        let header = Header {
            magic: MAGIC,
            version: VERSION.into(),
            root: root.number().into(),
            chunk_count: (self.chunks.len() as u64).into(),
            body_len: (sealed.len() as u64).into(),
            salt,
        };
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(self.chunks.iter().flat_map(|chunk| chunk.id.as_bytes()));
        bytes.extend_from_slice(&sealed);
        let checksum = *blake3::hash(&bytes).as_bytes();
        bytes.extend_from_slice(&checksum);
        bytes.extend_from_slice(&tag(&material.tag_key(), &checksum));
        Ok(bytes)
    }

    /// The layer index in these bytes, if they are the one of this name.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn open(
        bytes: &[u8],
        secret: &ScopeSecret,
        root: RootId,
        id: &LayerIndexId,
    ) -> Result<Self, FormatError> {
        let parts = Parts::split(bytes)?;
        let found = RootId::from_number(parts.header.root.get());
        if found != root {
            return Err(FormatError::WrongRoot { what: WHAT, expected: root, found });
        }
        let material = Material { secret, root, id, salt: &parts.header.salt };
        if !same(&tag(&material.tag_key(), parts.checksum), parts.tag) {
            return Err(FormatError::NotAuthentic { what: WHAT });
        }
        let packed = cipher::open(&material.body_key(), parts.body)
            .map_err(|cipher::NotAuthentic| FormatError::NotAuthentic { what: "body of a layer index" })?;
        let plain = packed::unpack(&packed, MAX_LAYER_INDEX_BODY_LEN, "body of a layer index")?;
        let index = body::decode(&plain, parts.chunk_ids)?;
        check::check(&index)?;
        Ok(index)
    }

    /// The chunks that a layer index names, in the order of its stream: without a key, and so without proof that
    /// the index is authentic; only rot is noticed.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn chunk_ids(bytes: &[u8]) -> Result<Vec<ChunkId>, FormatError> {
        Ok(Parts::split(bytes)?.chunk_ids.iter().copied().map(ChunkId::from_bytes).collect())
    }
}

/// What the keys of one layer index derive from.
struct Material<'a> {
    secret: &'a ScopeSecret,
    root: RootId,
    id: &'a LayerIndexId,
    salt: &'a [u8; 32],
}

impl Material<'_> {
    fn body_key(&self) -> Zeroizing<[u8; 32]> {
        let root = self.root.number().to_le_bytes();
        LAYER_INDEX_BODY.derive(&[self.secret.as_bytes(), &root, self.id.as_bytes(), self.salt])
    }

    fn tag_key(&self) -> Zeroizing<[u8; 32]> {
        let root = self.root.number().to_le_bytes();
        LAYER_INDEX_TAG.derive(&[self.secret.as_bytes(), &root, self.id.as_bytes(), self.salt])
    }
}

impl<'a> Parts<'a> {
    fn split(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let wrong_length =
            |expected: u64| FormatError::WrongLength { what: WHAT, expected, present: bytes.len() as u64 };
        let (header, rest) = Header::ref_from_prefix(bytes)
            .map_err(|_| wrong_length((size_of::<Header>() + TRAILER_LEN) as u64))?;
        if header.magic != MAGIC {
            return Err(FormatError::NotA { what: WHAT });
        }
        let version = header.version.get();
        if version != VERSION {
            return Err(FormatError::UnknownVersion { what: WHAT, version, supported: VERSION });
        }
        let (chunk_count, body_len) = (header.chunk_count.get(), header.body_len.get());
        let expected = chunk_count
            .checked_mul(32)
            .and_then(|table_len| table_len.checked_add(body_len))
            .and_then(|len| len.checked_add((size_of::<Header>() + TRAILER_LEN) as u64))
            .ok_or(FormatError::TooLong { what: WHAT, len: chunk_count, limit: bytes.len() as u64 })?;
        if expected != bytes.len() as u64 {
            return Err(wrong_length(expected));
        }
        let split = || {
            let (table, rest) = rest.split_at_checked(usize::try_from(chunk_count.checked_mul(32)?).ok()?)?;
            let (body, trailer) = rest.split_at_checked(usize::try_from(body_len).ok()?)?;
            let (checksum, tag) = trailer.split_first_chunk()?;
            let (chunk_ids, _) = table.as_chunks();
            Some(Self { header, chunk_ids, body, checksum, tag: tag.try_into().ok()? })
        };
        let parts = split().ok_or_else(|| wrong_length(expected))?;
        let (covered, _) =
            bytes.split_at_checked(bytes.len() - TRAILER_LEN).ok_or_else(|| wrong_length(expected))?;
        if blake3::hash(covered) != *parts.checksum {
            return Err(FormatError::Damaged { what: WHAT, number: 0 });
        }
        Ok(parts)
    }
}
