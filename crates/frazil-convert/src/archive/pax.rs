//! A PAX extended header: `LENGTH KEY=VALUE\n` records that override or extend the header behind them.
//!
//! A record is taken by its length alone. A value may hold newlines and equals signs (capabilities do), so a
//! reader that looks for line ends instead would read other records than tar does, and might believe a `size`
//! that is part of a value. Formats: POSIX.1-2001 pax; star's `SCHILY.xattr`; libarchive's `LIBARCHIVE.xattr`; the
//! GNU tar manual, "Storing Sparse Files".

use super::xattr::{self, Xattrs};

const SCHILY_XATTR: &[u8] = b"SCHILY.xattr.";
const LIBARCHIVE_XATTR: &[u8] = b"LIBARCHIVE.xattr.";
const GNU_SPARSE: &[u8] = b"GNU.sparse.";

/// A time of modification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) seconds: i64,
    pub(super) nanos: u32,
}

/// What an extended header says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: Xattrs,
    pub(super) sparse: SparseRecords,
}

/// What an extended header says of a sparse file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SparseRecords {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    /// The file's size, holes included.
    pub(super) real_size: Option<u64>,
    /// How many extents the map has.
    pub(super) extents: Option<u64>,
    /// Version 0.0 and 0.1: offset, length, offset, length, ...
    pub(super) map: Option<Vec<u64>>,
}

impl Records {
    /// Reads an extended header, or says what is wrong with it.
    pub(super) fn parse(mut data: &[u8]) -> Result<Self, &'static str> {
        let mut records = Self::default();
        while !data.is_empty() {
            let (key, value, rest) = record(data)?;
            records.take(key, value)?;
            data = rest;
        }
        Ok(records)
    }

    /// Whether the file is stored as a sparse one, in a version that is known.
    pub(super) fn is_sparse(&self) -> bool {
        match (self.sparse.major, self.sparse.minor) {
            (None, None) => self.sparse.map.is_some(),
            version => matches!(version, (Some(0), Some(0 | 1)) | (Some(1), Some(0))),
        }
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            b"path" => self.path = name(value)?,
            b"linkpath" => self.link_path = name(value)?,
            b"size" => self.size = optional(value, |value| decimal(value).ok_or("the size is not a number"))?,
            b"uid" => self.uid = optional(value, |value| id(value).ok_or("the uid is not a 32-bit number"))?,
            b"gid" => self.gid = optional(value, |value| id(value).ok_or("the gid is not a 32-bit number"))?,
            b"mtime" => self.mtime = optional(value, |value| time(value).ok_or("the mtime is not a time"))?,
            _ => {
                if let Some(name) = key.strip_prefix(SCHILY_XATTR) {
                    self.xattrs.set_schily(name, value);
                } else if let Some(name) = key.strip_prefix(LIBARCHIVE_XATTR) {
                    let name = xattr::url_decode(name).ok_or("the name of an xattr is not URL-encoded")?;
                    let value = xattr::base64_decode(value).ok_or("the value of an xattr is not base64")?;
                    self.xattrs.set_libarchive(name, value);
                } else if let Some(key) = key.strip_prefix(GNU_SPARSE) {
                    self.sparse.take(key, value)?;
                }
            }
        }
        Ok(())
    }
}

impl SparseRecords {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let number = || decimal(value).ok_or("a number of a sparse map is none");
        match key {
            b"major" => self.major = Some(version(value)?),
            b"minor" => self.minor = Some(version(value)?),
            b"name" => self.name = name(value)?,
            // Readers differ in which of the two they believe.
            b"size" | b"realsize" => match self.real_size.replace(number()?) {
                Some(earlier) if self.real_size != Some(earlier) => {
                    return Err("a sparse file has two real sizes");
                }
                _ => {}
            },
            b"numblocks" => self.extents = Some(number()?),
            b"map" => {
                let numbers = value.split(|byte| *byte == b',').filter(|_| !value.is_empty());
                let map = numbers.map(decimal).collect::<Option<_>>();
                self.map = Some(map.ok_or("a number of a sparse map is none")?);
            }
            b"offset" => self.push(0, number()?)?,
            b"numbytes" => self.push(1, number()?)?,
            _ => {}
        }
        Ok(())
    }

    /// Takes one number of a version 0.0 map, in which offsets (at even places) and lengths alternate.
    fn push(&mut self, parity: usize, number: u64) -> Result<(), &'static str> {
        let map = self.map.get_or_insert_default();
        if map.len() % 2 != parity {
            return Err("offsets and lengths of a sparse map do not alternate");
        }
        map.push(number);
        Ok(())
    }
}

/// The key and the value of a record, and what follows it.
type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Splits off the first record.
fn record(data: &[u8]) -> Result<Record<'_>, &'static str> {
    const BAD_LENGTH: &str = "the length of a record is not the record's";
    let space = data.iter().position(|byte| *byte == b' ').ok_or("a record has no length")?;
    let len =
        data.get(..space).and_then(decimal).and_then(|len| usize::try_from(len).ok()).ok_or(BAD_LENGTH)?;
    let (record, rest) = data.split_at_checked(len).ok_or(BAD_LENGTH)?;
    let body = record.get(space + 1..).and_then(|body| body.strip_suffix(b"\n")).ok_or(BAD_LENGTH)?;
    let equals = body.iter().position(|byte| *byte == b'=').ok_or("a record has no equals sign")?;
    match body.split_at_checked(equals) {
        Some((key, value)) if !key.is_empty() && !key.contains(&0) => {
            Ok((key, value.get(1..).unwrap_or_default(), rest))
        }
        _ => Err("a record has an invalid key"),
    }
}

/// An empty value takes back what an earlier record said.
fn optional<T>(
    value: &[u8],
    read: impl FnOnce(&[u8]) -> Result<T, &'static str>,
) -> Result<Option<T>, &'static str> {
    if value.is_empty() { Ok(None) } else { read(value).map(Some) }
}

fn name(value: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    if value.contains(&0) {
        return Err("a path contains a NUL");
    }
    optional(value, |value| Ok(value.to_vec()))
}

/// Decimal digits and nothing else.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// A part of the version of a sparse map. Some readers compare it as text, so only one spelling of each
/// number is accepted.
fn version(value: &[u8]) -> Result<u64, &'static str> {
    match value {
        [b'0'..=b'9'] => decimal(value).ok_or("the version of a sparse map is not a number"),
        _ => Err("the version of a sparse map is not a digit"),
    }
}

fn id(value: &[u8]) -> Option<u32> {
    decimal(value)?.try_into().ok()
}

/// `[-]SECONDS[.FRACTION]`; digits past the nanoseconds are dropped.
fn time(value: &[u8]) -> Option<Time> {
    const NANO_DIGITS: usize = 9;
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let seconds: i64 = decimal(parts.next()?)?.try_into().ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(NANO_DIGITS);
    let nanos = digits.fold(0u32, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
    // Before the epoch the nanoseconds still count forward from the second.
    Some(match (negative, nanos) {
        (false, _) => Time { seconds, nanos },
        (true, 0) => Time { seconds: -seconds, nanos },
        (true, _) => Time { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = key.len() + value.len() + 3;
        let len = (1..).map(|digits| rest + digits).find(|len| len.to_string().len() + rest == *len).unwrap();
        [format!("{len} {key}=").as_bytes(), value, b"\n"].concat()
    }

    #[test]
    fn a_value_with_newlines_is_one_value() {
        let capability = b"\x01\x00\x00\x02\n12 size=999\n\x00";
        let data = [encode("SCHILY.xattr.security.capability", capability), encode("size", b"7")].concat();
        let records = Records::parse(&data).unwrap();
        assert_eq!(records.size, Some(7), "the size inside of the value is no record");
        let xattrs = records.xattrs.into_sorted();
        assert_eq!(xattrs, [(b"security.capability".to_vec(), capability.to_vec())]);
    }

    #[test]
    fn records_that_lie_about_their_length_are_refused() {
        for lie in [
            &b"99 path=a\n"[..],
            b"8 path=a\n",
            b"11 path=a\n",
            b"0 path=a\n",
            b"path=a\n",
            b"-1 path=a\n",
            b"10 path=ab",
            b"18446744073709551616 path=a\n",
            b"7 path\n",
            b"5 =a\n",
        ] {
            assert!(Records::parse(lie).is_err(), "{}", lie.escape_ascii());
        }
        assert_eq!(Records::parse(b"10 path=a\n").unwrap().path.unwrap(), b"a");
    }

    #[test]
    fn an_empty_value_takes_an_earlier_one_back() {
        let data = [encode("path", b"a"), encode("path", b"")].concat();
        assert_eq!(Records::parse(&data).unwrap(), Records::default());
    }

    #[test]
    fn times_keep_their_nanoseconds_on_both_sides_of_the_epoch() {
        for (text, seconds, nanos) in [
            ("1700000000.123456789", 1_700_000_000, 123_456_789),
            ("1.5", 1, 500_000_000),
            ("1.1234567899", 1, 123_456_789),
            ("-1.5", -2, 500_000_000),
            ("-1", -1, 0),
            ("0.", 0, 0),
        ] {
            assert_eq!(time(text.as_bytes()), Some(Time { seconds, nanos }), "{text}");
        }
        for nonsense in ["", "-", "1.x", "1e9", "9223372036854775808"] {
            assert_eq!(time(nonsense.as_bytes()), None, "{nonsense}");
        }
    }
}
