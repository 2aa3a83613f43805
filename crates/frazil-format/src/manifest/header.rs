//! A manifest's header: `fixed part ‖ section table ‖ wrapped key ‖ tag` (docs/FORMAT.md, "Manifest").
//!
//! Invariant of a parsed [`Header`]: its sections are exactly those of its number of chunks, each once, of the lengths
//! they must have; they lie in the order of the table, without gaps, from the header's end to the manifest's. So every
//! byte has one meaning, and the manifest id, the header's hash, commits to all of them.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::chunk_page::{CHUNKS_PER_PAGE, RECORD_LEN};
use crate::bounds::{MAX_KEY_ID_LEN, MAX_WRAPPED_LEN, within};
use crate::cipher::TAG_LEN;
use crate::{FormatError, RootId, WrappedKey};

pub(super) const WHAT: &str = "manifest";
pub(super) const HEADER: &str = "header of a manifest";
const MAGIC: [u8; 8] = *b"frazilMF";
const VERSION: u32 = 1;

/// The fixed part.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Fixed {
    magic: [u8; 8],
    version: U32,
    header_len: U32,
    total_len: U64,
    chunk_count: U64,
    root: U32,
    section_count: U32,
    wrapped_len: U32,
    reserved: U32,
    pub(super) salt: [u8; 32],
    pub(super) commitment: [u8; 32],
}

/// One entry of the section table.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SectionEntry {
    kind: U32,
    index: U32,
    offset: U64,
    len: U64,
    hash: [u8; 32],
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct WrappedHead {
    provider_len: U16,
    key_id_len: U16,
    bytes_len: U32,
}

/// What a section holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Geometry = 1,
    ChunkPage = 2,
    KeyPage = 3,
    Config = 4,
}

/// Where a section is and what it hashes to.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) kind: Kind,
    pub(super) index: u32,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) hash: [u8; 32],
}

/// A header whose fields agree with each other.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) root: RootId,
    /// The header's own length, in bytes.
    pub(super) len: usize,
    /// The whole manifest's, in bytes.
    pub(super) total_len: u64,
    pub(super) chunk_count: usize,
    pub(super) salt: [u8; 32],
    pub(super) commitment: [u8; 32],
    pub(super) sections: Vec<Section>,
    pub(super) wrapped: WrappedKey,
    pub(super) tag: [u8; 32],
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Geometry => "geometry section",
            Self::ChunkPage => "chunk page",
            Self::KeyPage => "key page",
            Self::Config => "config section",
        }
    }

    fn of(number: u32) -> Option<Self> {
        [Self::Geometry, Self::ChunkPage, Self::KeyPage, Self::Config]
            .into_iter()
            .find(|kind| *kind as u32 == number)
    }

    /// The section's length, if it follows from the number of chunks in its page.
    fn len(self, chunks: usize) -> Option<u64> {
        match self {
            Self::Geometry | Self::Config => None,
            Self::ChunkPage => Some((chunks * RECORD_LEN) as u64),
            Self::KeyPage => Some((chunks * 32 + TAG_LEN) as u64),
        }
    }
}

/// The sections that a manifest of this many chunks must have, and which of them were seen.
struct Expected {
    chunk_count: usize,
    pages: usize,
    seen: Vec<bool>,
}

impl Expected {
    fn new(chunk_count: usize) -> Self {
        let pages = chunk_count.div_ceil(CHUNKS_PER_PAGE);
        Self { chunk_count, pages, seen: vec![false; section_count(chunk_count as u64) as usize] }
    }

    /// The kind of a section that was not seen yet, and its length if that is fixed; none if it must not be
    /// there.
    fn take(&mut self, kind: u32, index: u32) -> Option<(Kind, Option<u64>)> {
        let kind = Kind::of(kind)?;
        let page = index as usize;
        let place = match kind {
            Kind::Geometry if page == 0 => 0,
            Kind::Config if page == 0 => 1,
            Kind::ChunkPage if page < self.pages => 2 + page,
            Kind::KeyPage if page < self.pages => 2 + self.pages + page,
            _ => return None,
        };
        let seen = self.seen.get_mut(place)?;
        let chunks = CHUNKS_PER_PAGE.min(self.chunk_count.saturating_sub(page * CHUNKS_PER_PAGE));
        (!std::mem::replace(seen, true)).then(|| (kind, kind.len(chunks)))
    }
}

/// How many sections a manifest of this many chunks has.
fn section_count(chunk_count: u64) -> u64 {
    chunk_count.div_ceil(CHUNKS_PER_PAGE as u64).saturating_mul(2).saturating_add(2)
}

/// The values of a header that is to be written.
pub(crate) struct Draft<'a> {
    pub(crate) root: RootId,
    pub(crate) chunk_count: u64,
    pub(crate) salt: [u8; 32],
    pub(crate) commitment: [u8; 32],
    pub(crate) wrapped: &'a WrappedKey,
    /// Kind, index and bytes, in the order of the file.
    pub(crate) sections: &'a [(Kind, u32, Vec<u8>)],
}

impl Draft<'_> {
    /// The header without its tag.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let wrapped = encode_wrapped(self.wrapped)?;
        let too_long =
            |len: usize| FormatError::TooLong { what: WHAT, len: len as u64, limit: u32::MAX.into() };
        let word = |len: usize| u32::try_from(len).map(U32::from).map_err(|_| too_long(len));
        let table_len = self.sections.len() * size_of::<SectionEntry>();
        let header_len = size_of::<Fixed>() + table_len + wrapped.len() + 32;
        let sections_len: usize = self.sections.iter().map(|(_, _, bytes)| bytes.len()).sum();
        let fixed = Fixed {
            magic: MAGIC,
            version: VERSION.into(),
            header_len: word(header_len)?,
            total_len: ((header_len + sections_len) as u64).into(),
            chunk_count: self.chunk_count.into(),
            root: self.root.number().into(),
            section_count: word(self.sections.len())?,
            wrapped_len: word(wrapped.len())?,
            reserved: U32::ZERO,
            salt: self.salt,
            commitment: self.commitment,
        };
        let mut bytes = Vec::with_capacity(header_len);
        bytes.extend_from_slice(fixed.as_bytes());
        let mut offset = header_len as u64;
        for (kind, index, section) in self.sections {
            let entry = SectionEntry {
                kind: (*kind as u32).into(),
                index: (*index).into(),
                offset: offset.into(),
                len: (section.len() as u64).into(),
                hash: *blake3::hash(section).as_bytes(),
            };
            bytes.extend_from_slice(entry.as_bytes());
            offset += section.len() as u64;
        }
        bytes.extend_from_slice(&wrapped);
        Ok(bytes)
    }
}

impl Header {
    /// The header of a whole manifest.
    pub(super) fn parse_whole(bytes: &[u8]) -> Result<Self, FormatError> {
        let present = bytes.len() as u64;
        let (fixed, _) = Fixed::ref_from_prefix(bytes).map_err(|_| too_short::<Fixed>(bytes))?;
        check_fixed(fixed)?;
        if fixed.total_len.get() != present {
            return Err(FormatError::WrongLength { what: WHAT, expected: fixed.total_len.get(), present });
        }
        Self::parse(bytes)?.ok_or(FormatError::WrongLength {
            what: HEADER,
            expected: fixed.header_len.get().into(),
            present,
        })
    }

    /// The header at the start of a manifest; none if more bytes of it have to come.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, FormatError> {
        let Ok((fixed, rest)) = Fixed::ref_from_prefix(bytes) else { return Ok(None) };
        check_fixed(fixed)?;
        let header_len = fixed.header_len.get() as usize;
        if bytes.len() < header_len {
            return Ok(None);
        }
        let wrong_length = || FormatError::WrongLength {
            what: HEADER,
            expected: header_len as u64,
            present: bytes.len() as u64,
        };
        let (entries, rest) =
            <[SectionEntry]>::ref_from_prefix_with_elems(rest, fixed.section_count.get() as usize)
                .map_err(|_| wrong_length())?;
        let split = rest.split_at_checked(fixed.wrapped_len.get() as usize);
        let (wrapped, rest) = split.ok_or_else(wrong_length)?;
        let (tag, _) = rest.split_first_chunk().ok_or_else(wrong_length)?;
        Ok(Some(Self {
            root: RootId::from_number(fixed.root.get()),
            len: header_len,
            total_len: fixed.total_len.get(),
            chunk_count: usize::try_from(fixed.chunk_count.get()).unwrap_or(usize::MAX),
            salt: fixed.salt,
            commitment: fixed.commitment,
            sections: decode_sections(fixed, entries)?,
            wrapped: decode_wrapped(wrapped)?,
            tag: *tag,
        }))
    }
}

fn too_short<T>(bytes: &[u8]) -> FormatError {
    FormatError::WrongLength { what: WHAT, expected: size_of::<T>() as u64, present: bytes.len() as u64 }
}

/// Whether the fixed part agrees with itself.
fn check_fixed(fixed: &Fixed) -> Result<(), FormatError> {
    if fixed.magic != MAGIC {
        return Err(FormatError::NotA { what: WHAT });
    }
    let version = fixed.version.get();
    if version != VERSION {
        return Err(FormatError::UnknownVersion { what: WHAT, version, supported: VERSION });
    }
    if fixed.reserved.get() != 0 {
        return Err(FormatError::BadGeometry { problem: "a reserved field of the header is set" });
    }
    // Every chunk has a record, so a count that the bytes cannot hold is refused before anything is allocated
    // for it.
    let total_len = fixed.total_len.get();
    within("number of chunks", fixed.chunk_count.get(), total_len / RECORD_LEN as u64)?;
    let sections = u64::from(fixed.section_count.get());
    if sections != section_count(fixed.chunk_count.get()) {
        return Err(FormatError::BadGeometry { problem: "the number of sections does not fit the chunks" });
    }
    let table_len = sections * size_of::<SectionEntry>() as u64;
    let header_len = size_of::<Fixed>() as u64 + table_len + u64::from(fixed.wrapped_len.get()) + 32;
    if u64::from(fixed.header_len.get()) != header_len || header_len > total_len {
        return Err(FormatError::WrongLength { what: HEADER, expected: header_len, present: total_len });
    }
    Ok(())
}

fn decode_sections(fixed: &Fixed, entries: &[SectionEntry]) -> Result<Vec<Section>, FormatError> {
    let mut expected = Expected::new(usize::try_from(fixed.chunk_count.get()).unwrap_or(usize::MAX));
    let mut sections = Vec::with_capacity(entries.len());
    let mut end = u64::from(fixed.header_len.get());
    for (number, entry) in (0..).zip(entries) {
        let (kind, index) = (entry.kind.get(), entry.index.get());
        let taken = expected.take(kind, index);
        let (kind, len) = taken.ok_or(FormatError::UnexpectedSection { number, kind, index })?;
        let present = entry.len.get();
        if let Some(expected) = len.filter(|&len| len != present) {
            return Err(FormatError::WrongLength { what: kind.name(), expected, present });
        }
        if entry.offset.get() != end {
            return Err(FormatError::BadGeometry {
                problem: "a section does not start where the one before ends",
            });
        }
        sections.push(Section { kind, index, offset: end, len: present, hash: entry.hash });
        end = end
            .checked_add(present)
            .filter(|&end| end <= fixed.total_len.get())
            .ok_or(FormatError::BadGeometry { problem: "a section ends behind the manifest" })?;
    }
    if end != fixed.total_len.get() {
        return Err(FormatError::BadGeometry { problem: "the last section does not end with the manifest" });
    }
    Ok(sections)
}

fn encode_wrapped(wrapped: &WrappedKey) -> Result<Vec<u8>, FormatError> {
    check_wrapped(wrapped)?;
    let too_long = |_| FormatError::TooLong { what: "wrapped key", len: u64::MAX, limit: MAX_WRAPPED_LEN };
    let head = WrappedHead {
        provider_len: u16::try_from(wrapped.provider.len()).map_err(too_long)?.into(),
        key_id_len: u16::try_from(wrapped.key_id.len()).map_err(too_long)?.into(),
        bytes_len: u32::try_from(wrapped.bytes.len()).map_err(too_long)?.into(),
    };
    let strings = [wrapped.provider.as_bytes(), wrapped.key_id.as_bytes(), &wrapped.bytes];
    Ok([head.as_bytes(), &strings.concat()].concat())
}

fn decode_wrapped(bytes: &[u8]) -> Result<WrappedKey, FormatError> {
    let bad = || FormatError::BadGeometry { problem: "the wrapped key's lengths do not fit" };
    let text = |bytes: &[u8]| {
        let text = str::from_utf8(bytes)
            .map_err(|_| FormatError::BadGeometry { problem: "a key id is not UTF-8" })?;
        Ok(text.to_owned())
    };
    let (head, rest) = WrappedHead::ref_from_prefix(bytes).map_err(|_| bad())?;
    let (provider, rest) = rest.split_at_checked(head.provider_len.get().into()).ok_or_else(bad)?;
    let (key_id, rest) = rest.split_at_checked(head.key_id_len.get().into()).ok_or_else(bad)?;
    if rest.len() as u64 != u64::from(head.bytes_len.get()) {
        return Err(bad());
    }
    let wrapped = WrappedKey { provider: text(provider)?, key_id: text(key_id)?, bytes: rest.to_vec() };
    check_wrapped(&wrapped)?;
    Ok(wrapped)
}

fn check_wrapped(wrapped: &WrappedKey) -> Result<(), FormatError> {
    within("name of a key provider", wrapped.provider.len() as u64, MAX_KEY_ID_LEN)?;
    within("id of a wrapping key", wrapped.key_id.len() as u64, MAX_KEY_ID_LEN)?;
    within("wrapped key", wrapped.bytes.len() as u64, MAX_WRAPPED_LEN)
}
