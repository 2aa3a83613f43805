//! A bundle: the sealed chunks of a profile, in its order, as one object for a few large reads.
//!
//! Sealed once more, in segments that open one by one: the order of the chunks is what the profile hides, and their
//! bytes are public. Invariant: whatever comes out of a bundle is a chunk that was verified against its id, so a
//! bundle can cost time and nothing else. docs/FORMAT.md has the bytes.

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::bounds::{MAX_BUNDLE_LEN, within};
use crate::cipher::{self, OneTimeKey, TAG_LEN};
use crate::domains::BUNDLE_SEGMENT;
use crate::{BundleId, Chunk, ChunkId, FormatError, ProfileKey, SealedChunk, secret};

/// The length of a sealed segment, in bytes: a gigabit link brings one in about two milliseconds.
pub const SEGMENT_LEN: u64 = 256 << 10;

/// What a segment holds, in bytes.
const PLAIN_LEN: usize = SEGMENT_LEN as usize - TAG_LEN;

/// A bundle's length is a multiple of this many segments, so that it tells how many MiB the bundle has and no
/// more.
const SEGMENTS_AT_ONCE: u64 = 4;

/// A bundle, as its profile names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bundle {
    /// Its name.
    pub id: BundleId,
    /// When it was made: seconds since the epoch.
    pub made_seconds: u64,
    /// The chunks in it, by their places in the manifest's chunk table, in its order; none twice, at least one.
    pub chunks: Vec<u32>,
}

impl BundleId {
    /// A fresh random id: no two bundles share a key.
    ///
    /// # Errors
    /// [`FormatError::NoRandomness`].
    pub fn generate() -> Result<Self, FormatError> {
        secret::random().map(Self::from_bytes)
    }
}

/// The length of a bundle whose sealed chunks have `sealed_len` bytes in all.
pub fn bundle_len(sealed_len: u64) -> u64 {
    sealed_len.div_ceil(PLAIN_LEN as u64).next_multiple_of(SEGMENTS_AT_ONCE).saturating_mul(SEGMENT_LEN)
}

fn segment_key(key: &ProfileKey, id: &BundleId, index: u32) -> Zeroizing<[u8; 32]> {
    BUNDLE_SEGMENT.derive(&[key.as_bytes(), id.as_bytes(), &index.to_le_bytes()])
}

/// Makes a bundle, segment by segment.
pub struct BundleSealer {
    key: ProfileKey,
    id: BundleId,
    next: u32,
    plain: Vec<u8>,
}

impl BundleSealer {
    /// The sealer of the bundle of this id, which no other sealer may be given.
    pub fn new(key: ProfileKey, id: BundleId) -> Self {
        Self { key, id, next: 0, plain: Vec::with_capacity(PLAIN_LEN) }
    }

    /// Adds a chunk; gives the segments that are full.
    ///
    /// # Errors
    /// [`FormatError::TooLong`] if the bundle is.
    pub fn push(&mut self, chunk: &SealedChunk) -> Result<Vec<Bytes>, FormatError> {
        let mut full = Vec::new();
        let mut rest: &[u8] = chunk.bytes();
        while !rest.is_empty() {
            let room = PLAIN_LEN.saturating_sub(self.plain.len()).min(rest.len());
            let (fitting, behind) = rest.split_at(room);
            self.plain.extend_from_slice(fitting);
            rest = behind;
            if self.plain.len() == PLAIN_LEN {
                full.push(self.segment()?);
            }
        }
        Ok(full)
    }

    /// The last segments.
    ///
    /// # Errors
    /// As [`BundleSealer::push`].
    pub fn finish(mut self) -> Result<Vec<Bytes>, FormatError> {
        let mut last = Vec::new();
        while !self.plain.is_empty() || u64::from(self.next) % SEGMENTS_AT_ONCE != 0 || self.next == 0 {
            self.plain.resize(PLAIN_LEN, 0);
            last.push(self.segment()?);
        }
        Ok(last)
    }

    fn segment(&mut self) -> Result<Bytes, FormatError> {
        within("bundle", (u64::from(self.next) + 1).saturating_mul(SEGMENT_LEN), MAX_BUNDLE_LEN)?;
        let sealed = OneTimeKey::new(segment_key(&self.key, &self.id, self.next))
            .seal(&self.plain)
            .map_err(|cipher::CannotSeal| FormatError::CannotSeal { what: "bundle" })?;
        self.next += 1;
        self.plain.clear();
        Ok(sealed.into())
    }
}

/// Opens a bundle's segments, in whatever order they come.
pub struct BundleOpener {
    key: ProfileKey,
    id: BundleId,
    parts: Vec<Part>,
    segments: Vec<Segment>,
}

/// A chunk in a bundle.
#[derive(Debug)]
struct Part {
    index: u32,
    id: ChunkId,
    /// Where it starts in what the segments hold, in bytes.
    start: usize,
    len: usize,
    /// Segments of it that have not come.
    missing: u32,
}

#[derive(Default)]
struct Segment {
    plain: Option<Vec<u8>>,
    opened: bool,
    /// The chunks that lie in it, by their places in the bundle.
    parts: std::ops::Range<usize>,
    /// How many of those are not whole yet.
    waiting: usize,
}

impl BundleOpener {
    /// The opener of a profile's bundle, which belongs to the manifest with this key and these chunks.
    ///
    /// # Errors
    /// If the manifest has no such chunks; [`FormatError::TooLong`].
    pub fn new(key: ProfileKey, bundle: &Bundle, chunks: &[Chunk]) -> Result<Self, FormatError> {
        let mut parts = Vec::with_capacity(bundle.chunks.len());
        let mut end = 0_usize;
        for &index in &bundle.chunks {
            let chunk = chunks
                .get(index as usize)
                .ok_or(FormatError::BadBundle { problem: "the image has no such chunk" })?;
            let (start, len) = (end, chunk.sealed_len as usize);
            end = end.saturating_add(len);
            within("bundle", bundle_len(end as u64), MAX_BUNDLE_LEN)?;
            let missing = segments_of(start, len).len() as u32;
            parts.push(Part { index, id: chunk.id, start, len, missing });
        }
        let count = bundle_len(end as u64) / SEGMENT_LEN;
        let mut segments: Vec<Segment> = (0..count).map(|_| Segment::default()).collect();
        for (at, part) in parts.iter().enumerate() {
            for number in segments_of(part.start, part.len) {
                let Some(segment) = segments.get_mut(number) else { break };
                if segment.waiting == 0 {
                    segment.parts.start = at;
                }
                segment.parts.end = at + 1;
                segment.waiting += 1;
            }
        }
        Ok(Self { key, id: bundle.id, parts, segments })
    }

    /// The length of the bundle, in bytes.
    pub fn len(&self) -> u64 {
        self.segments.len() as u64 * SEGMENT_LEN
    }

    /// Whether it has no segment; it always has some.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// How many of its segments hold something; the rest is padding that nobody needs.
    pub fn filled_segments(&self) -> usize {
        self.segments.iter().take_while(|segment| !segment.parts.is_empty()).count()
    }

    /// The chunks in a segment, by their places in the chunk table; those at its ends may reach into its neighbours.
    pub fn chunks_in(&self, segment: usize) -> impl Iterator<Item = u32> + '_ {
        let range = self.segments.get(segment).map_or(0..0, |segment| segment.parts.clone());
        self.parts.get(range).unwrap_or_default().iter().map(|part| part.index)
    }

    /// Opens a segment; gives the chunks that are whole now.
    ///
    /// # Errors
    /// If there is no such segment, if it was opened before, or if its bytes are not what they should be. The bundle
    /// is of no use then.
    pub fn open(&mut self, number: usize, sealed: &[u8]) -> Result<Vec<(u32, SealedChunk)>, FormatError> {
        let bad = |problem| FormatError::BadBundle { problem };
        let segment = self.segments.get_mut(number).ok_or(bad("it has no such segment"))?;
        if std::mem::replace(&mut segment.opened, true) {
            return Err(bad("a segment came twice"));
        }
        if sealed.len() as u64 != SEGMENT_LEN {
            return Err(bad("a segment has another length"));
        }
        let mut plain = vec![0; PLAIN_LEN];
        let key = segment_key(&self.key, &self.id, number as u32);
        cipher::open_into(&key, sealed, &mut plain)
            .map_err(|cipher::NotAuthentic| FormatError::NotAuthentic { what: "segment of a bundle" })?;
        segment.plain = Some(plain);
        let range = segment.parts.clone();
        let mut whole = Vec::new();
        for at in range {
            let Some(part) = self.parts.get_mut(at) else { continue };
            part.missing = part.missing.saturating_sub(1);
            if part.missing == 0 {
                whole.push(self.assemble(at)?);
            }
        }
        Ok(whole)
    }

    /// A chunk whose segments have all come; segments that no other chunk waits for are dropped.
    fn assemble(&mut self, at: usize) -> Result<(u32, SealedChunk), FormatError> {
        let missing = || FormatError::BadBundle { problem: "a segment is missing" };
        let &Part { index, id, start, len, .. } = self.parts.get(at).ok_or_else(missing)?;
        let mut bytes = Vec::with_capacity(len);
        for number in segments_of(start, len) {
            let segment = self.segments.get_mut(number).ok_or_else(missing)?;
            let base = number * PLAIN_LEN;
            let within = start.saturating_sub(base)..(start + len).saturating_sub(base).min(PLAIN_LEN);
            let plain = segment.plain.as_deref().and_then(|plain| plain.get(within)).ok_or_else(missing)?;
            bytes.extend_from_slice(plain);
            segment.waiting = segment.waiting.saturating_sub(1);
            if segment.waiting == 0 {
                segment.plain = None;
            }
        }
        Ok((index, SealedChunk::verify(&id, bytes.into())?))
    }
}

/// The segments that `len` bytes from `start` on lie in.
fn segments_of(start: usize, len: usize) -> std::ops::Range<usize> {
    start / PLAIN_LEN..start.saturating_add(len).div_ceil(PLAIN_LEN)
}
