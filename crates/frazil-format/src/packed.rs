//! Packed bytes: what is sealed other than chunks is compressed first, behind its own length, and that length is
//! checked against a limit before anything is allocated. `length (u64 LE) ‖ zstd frame`.

use zeroize::Zeroizing;

use crate::bounds::within;
use crate::{FormatError, zstd_frame};

const LEVEL: i32 = 3;

/// Packs bytes.
pub(crate) fn pack(plain: &[u8], what: &'static str) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let room = size_of::<u64>() + zstd::zstd_safe::compress_bound(plain.len());
    let mut packed = Zeroizing::new(Vec::with_capacity(room));
    packed.extend_from_slice(&(plain.len() as u64).to_le_bytes());
    zstd_frame::append(&mut packed, plain, LEVEL)
        .map_err(|zstd_frame::DoesNotFit| FormatError::CannotSeal { what })?;
    Ok(packed)
}

/// Unpacks bytes, at most `limit` of them.
pub(crate) fn unpack(
    packed: &[u8],
    limit: u64,
    what: &'static str,
) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let too_short = FormatError::WrongLength { what, expected: 8, present: packed.len() as u64 };
    let (len, frame) = packed.split_first_chunk().ok_or(too_short)?;
    let len = u64::from_le_bytes(*len);
    within(what, len, limit)?;
    let len = usize::try_from(len).map_err(|_| FormatError::TooLong { what, len, limit })?;
    zstd_frame::decode(frame, len, what).map(Zeroizing::new)
}
