//! One 512-byte header block: fields at fixed places, numbers in octal or base 256.
//!
//! Formats: POSIX.1-1988 ustar; GNU tar manual, "Basic Tar Format". Both magics are read; a header with neither is
//! of the seventh edition and has no prefix and no device numbers.

use std::ops::Range;

/// The size of a header, and the unit of an archive's length, in bytes.
pub(super) const RECORD_BYTES: usize = 512;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE_FLAG: usize = 156;
const LINK_NAME: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const DEVICE_MAJOR: Range<usize> = 329..337;
const DEVICE_MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;
/// The prefix of star's own format, which ends where its times begin.
const STAR_PREFIX: Range<usize> = 345..476;
const STAR_TRAILER: Range<usize> = 508..512;
const GNU_ACCESS_TIME: Range<usize> = 345..357;
const GNU_CHANGE_TIME: Range<usize> = 357..369;
const GNU_SPARSE: Range<usize> = 386..482;
const GNU_IS_EXTENDED: usize = 482;
const GNU_REAL_SIZE: Range<usize> = 483..495;
const EXTENSION_SPARSE: Range<usize> = 0..504;
const EXTENSION_IS_EXTENDED: usize = 504;
/// The length of one offset or one length of a sparse map, in bytes.
const SPARSE_NUMBER_BYTES: usize = 12;

/// A header block whose checksum was verified.
pub(super) struct Header([u8; RECORD_BYTES]);

impl Header {
    /// The header in a block, or why it is not one.
    pub(super) fn parse(block: [u8; RECORD_BYTES]) -> Result<Self, &'static str> {
        let header = Self(block);
        let stored = number(header.field(CHECKSUM)).ok_or("the checksum is not a number")?;
        let (mut unsigned, mut signed) = (0i64, 0i64);
        for (at, byte) in header.0.iter().enumerate() {
            let byte = if CHECKSUM.contains(&at) { b' ' } else { *byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        // Some ancient tars summed signed bytes; readers have accepted both ever since.
        if stored != unsigned && stored != signed {
            return Err("the checksum does not match");
        }
        header.check_prefix()?;
        Ok(header)
    }

    /// Readers must not disagree about where a name begins: archives of star's own format have a shorter
    /// prefix, and where the time fields of a GNU header hold no time, some readers take them for a prefix
    /// that an old writer put there.
    fn check_prefix(&self) -> Result<(), &'static str> {
        let is_star = self.field(STAR_TRAILER) == b"tar\0" && self.field(MAGIC).starts_with(b"ustar\0");
        if is_star && text(self.field(STAR_PREFIX)) != text(self.field(PREFIX)) {
            return Err("its prefix runs into the times of star's format");
        }
        let is_time = |range| number(self.field(range)).is_some();
        if self.is_gnu() && !(is_time(GNU_ACCESS_TIME) && is_time(GNU_CHANGE_TIME)) {
            return Err("a time of its GNU format is not a number");
        }
        Ok(())
    }

    fn field(&self, range: Range<usize>) -> &[u8] {
        self.0.get(range).unwrap_or_default()
    }

    /// The member's name, the ustar prefix in front.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(self.field(NAME));
        let prefix = text(self.field(PREFIX));
        if self.field(MAGIC).starts_with(b"ustar\0") && !prefix.is_empty() {
            [prefix, b"/", name].concat()
        } else {
            name.to_vec()
        }
    }

    pub(super) fn link_name(&self) -> &[u8] {
        text(self.field(LINK_NAME))
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.0.get(TYPE_FLAG).copied().unwrap_or_default()
    }

    pub(super) fn mode(&self) -> Option<i64> {
        number(self.field(MODE))
    }

    pub(super) fn uid(&self) -> Option<i64> {
        number(self.field(UID))
    }

    pub(super) fn gid(&self) -> Option<i64> {
        number(self.field(GID))
    }

    pub(super) fn size(&self) -> Option<u64> {
        number(self.field(SIZE))?.try_into().ok()
    }

    pub(super) fn mtime_seconds(&self) -> Option<i64> {
        number(self.field(MTIME))
    }

    /// Major and minor device number; 0 where the format has none.
    pub(super) fn device(&self) -> Option<(u32, u32)> {
        if !self.field(MAGIC).starts_with(b"ustar") {
            return Some((0, 0));
        }
        let part = |range| number(self.field(range))?.try_into().ok();
        Some((part(DEVICE_MAJOR)?, part(DEVICE_MINOR)?))
    }

    pub(super) fn is_gnu(&self) -> bool {
        self.field(MAGIC) == b"ustar  \0"
    }

    /// The size of an old GNU sparse file, holes included.
    pub(super) fn gnu_real_size(&self) -> Option<u64> {
        number(self.field(GNU_REAL_SIZE))?.try_into().ok()
    }

    /// The part of an old GNU sparse map that the header holds.
    pub(super) fn gnu_sparse(&self) -> SparseBlock<'_> {
        SparseBlock {
            numbers: self.field(GNU_SPARSE),
            continues: self.0.get(GNU_IS_EXTENDED).is_some_and(|flag| *flag != 0),
        }
    }
}

/// A piece of an old GNU sparse map.
pub(super) struct SparseBlock<'a> {
    numbers: &'a [u8],
    /// Whether another block of the map follows.
    pub(super) continues: bool,
}

impl<'a> SparseBlock<'a> {
    /// The piece in a block that follows the header.
    pub(super) fn extension(block: &'a [u8; RECORD_BYTES]) -> Self {
        Self {
            numbers: block.get(EXTENSION_SPARSE).unwrap_or_default(),
            continues: block.get(EXTENSION_IS_EXTENDED).is_some_and(|flag| *flag != 0),
        }
    }

    /// Offset and length of each extent; an extent of NULs ends the map. `None` stands for nonsense.
    pub(super) fn extents(&self) -> impl Iterator<Item = Option<(u64, u64)>> {
        let used = |pair: &&[u8]| pair.first().is_some_and(|first| *first != 0);
        self.numbers.chunks_exact(2 * SPARSE_NUMBER_BYTES).take_while(used).map(|pair| {
            let (offset, len) = pair.split_at_checked(SPARSE_NUMBER_BYTES)?;
            Some((number(offset)?.try_into().ok()?, number(len)?.try_into().ok()?))
        })
    }
}

/// A text field: its bytes before the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A numeric field: octal digits between spaces and NULs (an empty field is 0), or, if the first bit is set, a
/// big-endian two's complement number.
fn number(field: &[u8]) -> Option<i64> {
    match field.split_first() {
        Some((first, rest)) if first & 0x80 != 0 => binary(*first, rest),
        _ => octal(field),
    }
}

fn binary(first: u8, rest: &[u8]) -> Option<i64> {
    // The first bit is the mark, the second the sign.
    let sign = if first & 0x40 != 0 { -1i64 } else { 0 };
    let high = i64::from(first & 0x3f) | (sign << 6);
    rest.iter().try_fold(high, |value, byte| Some(value.checked_mul(256)? | i64::from(*byte)))
}

fn octal(field: &[u8]) -> Option<i64> {
    let padding = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !padding(byte)).unwrap_or(field.len());
    let digits = field.get(start..).unwrap_or_default();
    let end = digits.iter().position(padding).unwrap_or(digits.len());
    digits.get(..end)?.iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256_and_an_empty_field_is_zero() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0\0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"77777777"), Some(0o7777_7777));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 1, 0, 0]), Some(65_536));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]), Some(-2));
        assert_eq!(number(&[0xbf; 12]), None, "more than 63 bits");
        assert_eq!(number(b"12x4\0"), None);
    }
}
