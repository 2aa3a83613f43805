//! Profiles as bytes: `header ‖ sealed(body ‖ zeros)` (docs/FORMAT.md, "Profiles").
//!
//! The file's length is a power of two; every version has a fresh salt, and so a key of its own.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};
use zeroize::Zeroizing;

use super::{Label, Profile, ProfiledChunk, Profiles, check};
use crate::bounds::{MAX_PROFILE_CHUNKS, MAX_PROFILES, MAX_PROFILES_LEN, within};
use crate::cipher::{self, OneTimeKey, TAG_LEN};
use crate::domains::PROFILES;
use crate::{Bundle, BundleId, FormatError, LabelId, ProfileKey, secret};

const MAGIC: [u8; 8] = *b"frazilPR";
const VERSION: u32 = 1;
const WHAT: &str = "profiles";
/// The shortest file: a page, which a profile of some three hundred chunks fills.
const SHORTEST_LEN: u64 = 4096;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: U32,
    reserved: U32,
    salt: [u8; 32],
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Fixed {
    label: [u8; 32],
    starts: U32,
    precision: U16,
    text_len: U16,
    recorded_seconds: U64,
    chunk_count: U32,
    bundled_count: U32,
    bundle: [u8; 32],
    bundle_seconds: U64,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Record {
    chunk: U32,
    position: U32,
    history: U16,
}

impl Profiles {
    /// The file to store beside the manifest that has this key and this many chunks.
    ///
    /// # Errors
    /// What would make [`Profiles::open`] refuse it; [`FormatError::TooLong`] if it is more than a file holds;
    /// [`FormatError::NoRandomness`].
    pub fn seal(&self, key: &ProfileKey, chunk_count: usize) -> Result<Vec<u8>, FormatError> {
        self.seal_with_salt(key, chunk_count, secret::random()?)
    }

    pub(crate) fn seal_with_salt(
        &self,
        key: &ProfileKey,
        chunk_count: usize,
        salt: [u8; 32],
    ) -> Result<Vec<u8>, FormatError> {
        check(self, chunk_count)?;
        let mut body = encode_body(self);
        let around = size_of::<Header>() + TAG_LEN;
        let len = ((body.len() + around) as u64).next_power_of_two().max(SHORTEST_LEN);
        within(WHAT, len, MAX_PROFILES_LEN)?;
        body.resize(len as usize - around, 0);
        let header = Header { magic: MAGIC, version: VERSION.into(), reserved: 0.into(), salt };
        let sealed = OneTimeKey::new(key_of(key, &salt))
            .seal(&body)
            .map_err(|cipher::CannotSeal| FormatError::CannotSeal { what: WHAT })?;
        Ok([header.as_bytes(), &sealed].concat())
    }

    /// The profiles in these bytes, if they belong to the manifest that has this key and this many chunks.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn open(bytes: &[u8], key: &ProfileKey, chunk_count: usize) -> Result<Self, FormatError> {
        let len = bytes.len() as u64;
        within(WHAT, len, MAX_PROFILES_LEN)?;
        let (header, sealed) = Header::ref_from_prefix(bytes).map_err(|_| FormatError::WrongLength {
            what: WHAT,
            expected: SHORTEST_LEN,
            present: len,
        })?;
        if header.magic != MAGIC {
            return Err(FormatError::NotA { what: WHAT });
        }
        let version = header.version.get();
        if version != VERSION || header.reserved.get() != 0 {
            return Err(FormatError::UnknownVersion { what: WHAT, version, supported: VERSION });
        }
        if len < SHORTEST_LEN || !len.is_power_of_two() {
            let expected = len.next_power_of_two().max(SHORTEST_LEN);
            return Err(FormatError::WrongLength { what: WHAT, expected, present: len });
        }
        let body = cipher::open(&key_of(key, &header.salt), sealed)
            .map_err(|cipher::NotAuthentic| FormatError::NotAuthentic { what: WHAT })?;
        let (profiles, body_len) = decode_body(&body)?;
        check(&profiles, chunk_count)?;
        // One spelling: another power of two would have held the same body.
        if body_len as u64 <= spare(len) {
            return Err(FormatError::WrongLength { what: WHAT, expected: len / 2, present: len });
        }
        Ok(profiles)
    }
}

/// The longest body that the next smaller file would have held.
fn spare(len: u64) -> u64 {
    if len <= SHORTEST_LEN { 0 } else { len / 2 - (size_of::<Header>() + TAG_LEN) as u64 }
}

fn key_of(key: &ProfileKey, salt: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    PROFILES.derive(&[key.as_bytes(), salt])
}

/// The body, without its padding.
pub(crate) fn encode_body(profiles: &Profiles) -> Vec<u8> {
    let mut body = (profiles.0.len() as u32).to_le_bytes().to_vec();
    for profile in &profiles.0 {
        let bundled: &[u32] = profile.bundle.as_ref().map_or(&[], |bundle| &bundle.chunks);
        let fixed = Fixed {
            label: *profile.label.id.as_bytes(),
            starts: profile.starts.into(),
            precision: profile.precision.into(),
            text_len: (profile.label.text.len() as u16).into(),
            recorded_seconds: profile.recorded_seconds.into(),
            chunk_count: (profile.chunks.len() as u32).into(),
            bundled_count: (bundled.len() as u32).into(),
            bundle: profile.bundle.as_ref().map_or([0; 32], |bundle| *bundle.id.as_bytes()),
            bundle_seconds: profile.bundle.as_ref().map_or(0, |bundle| bundle.made_seconds).into(),
        };
        body.extend_from_slice(fixed.as_bytes());
        body.extend_from_slice(profile.label.text.as_bytes());
        for ProfiledChunk { chunk, position, history } in profile.chunks.iter().copied() {
            let record = Record { chunk: chunk.into(), position: position.into(), history: history.into() };
            body.extend_from_slice(record.as_bytes());
        }
        body.extend(bundled.iter().flat_map(|chunk| chunk.to_le_bytes()));
    }
    body
}

/// The profiles, and the length of the body without its padding.
fn decode_body(body: &[u8]) -> Result<(Profiles, usize), FormatError> {
    let short = FormatError::BadProfile { number: 0, problem: "it ends too early" };
    let (count, mut rest) = body.split_first_chunk().ok_or(short)?;
    let count = u32::from_le_bytes(*count);
    within(WHAT, count.into(), MAX_PROFILES)?;
    let profiles = (0..count.into()).map(|number| decode(&mut rest, number)).collect::<Result<_, _>>()?;
    if rest.iter().any(|&byte| byte != 0) {
        return Err(FormatError::BadProfile {
            number: count.into(),
            problem: "what is behind the last is not zero",
        });
    }
    Ok((Profiles(profiles), body.len() - rest.len()))
}

fn decode(body: &mut &[u8], number: u64) -> Result<Profile, FormatError> {
    let bad = |problem| FormatError::BadProfile { number, problem };
    let short = || bad("it ends too early");
    let (fixed, rest) = Fixed::ref_from_prefix(body).map_err(|_| short())?;
    let (text, rest) = rest.split_at_checked(fixed.text_len.get().into()).ok_or_else(short)?;
    let (chunk_count, bundled_count) = (fixed.chunk_count.get(), fixed.bundled_count.get());
    within("chunks of a profile", chunk_count.into(), MAX_PROFILE_CHUNKS)?;
    within("chunks of a bundle", bundled_count.into(), MAX_PROFILE_CHUNKS)?;
    let (records, rest) =
        <[Record]>::ref_from_prefix_with_elems(rest, chunk_count as usize).map_err(|_| short())?;
    let (bundled, rest) =
        <[U32]>::ref_from_prefix_with_elems(rest, bundled_count as usize).map_err(|_| short())?;
    *body = rest;
    let text = std::str::from_utf8(text).map_err(|_| bad("its text is not UTF-8"))?.to_owned();
    let bundle = match (bundled, &fixed.bundle, fixed.bundle_seconds.get()) {
        ([], [0, ..], 0) if fixed.bundle == [0; 32] => None,
        ([], ..) => return Err(bad("its bundle is empty")),
        (chunks, id, made_seconds) => Some(Bundle {
            id: BundleId::from_bytes(*id),
            made_seconds,
            chunks: chunks.iter().map(|chunk| chunk.get()).collect(),
        }),
    };
    let chunk = |record: &Record| ProfiledChunk {
        chunk: record.chunk.get(),
        position: record.position.get(),
        history: record.history.get(),
    };
    Ok(Profile {
        label: Label { id: LabelId::from_bytes(fixed.label), text },
        starts: fixed.starts.get(),
        precision: fixed.precision.get(),
        recorded_seconds: fixed.recorded_seconds.get(),
        chunks: records.iter().map(chunk).collect(),
        bundle,
    })
}
