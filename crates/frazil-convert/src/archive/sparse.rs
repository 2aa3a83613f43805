//! Maps of sparse files: which parts of a file an archive holds.
//!
//! Invariant: the extents of a checked map are sorted, do not overlap, lie within the file, and are together as
//! long as the data in the archive. Everything between them is a hole. Formats: GNU tar manual, "Storing Sparse
//! Files"; the old GNU map, and PAX versions 0.0, 0.1 and 1.0.

use super::header::RECORD_BYTES;

/// The most extents of one file: a map is held in memory while its file is read, 16 bytes for each.
pub(super) const MAX_EXTENTS: usize = 1 << 18;

/// A part of a sparse file that the archive holds, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// A checked map.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SparseMap {
    pub(super) extents: Vec<Extent>,
    /// The file's size, holes included, in bytes.
    pub(super) real_size: u64,
}

impl SparseMap {
    /// A map that agrees with the file's size and with the length of the data in the archive.
    pub(super) fn check(extents: Vec<Extent>, real_size: u64, data_len: u64) -> Result<Self, &'static str> {
        if extents.len() > MAX_EXTENTS {
            return Err(TOO_MANY);
        }
        let (mut end, mut total) = (0u64, 0u64);
        for extent in &extents {
            if extent.offset < end {
                return Err("the extents overlap or are not in order");
            }
            end = extent.offset.checked_add(extent.len).ok_or("an extent ends past 2^64 bytes")?;
            total = total.saturating_add(extent.len);
        }
        if end > real_size {
            return Err("an extent ends past the end of the file");
        }
        if total != data_len {
            return Err("the extents are not as long as the data");
        }
        Ok(Self { extents, real_size })
    }

    /// Pairs of numbers as extents.
    pub(super) fn pairs(numbers: &[u64]) -> Result<Vec<Extent>, &'static str> {
        if !numbers.len().is_multiple_of(2) {
            return Err("the map ends with half an extent");
        }
        let extent = |pair: &[u64]| match pair {
            [offset, len] => Some(Extent { offset: *offset, len: *len }),
            _ => None,
        };
        Ok(numbers.chunks_exact(2).filter_map(extent).collect())
    }
}

const TOO_MANY: &str = "the map has more than 262,144 extents";

/// The map in front of a file's data, PAX version 1.0: decimal numbers each on a line, the count of extents first,
/// filled up to a whole record.
#[derive(Default)]
pub(super) struct MapText {
    digits: Option<u64>,
    wanted: Option<usize>,
    numbers: Vec<u64>,
}

impl MapText {
    /// Takes the next record; true when the map is complete.
    pub(super) fn take(&mut self, record: &[u8; RECORD_BYTES]) -> Result<bool, &'static str> {
        for byte in record {
            match byte {
                b'0'..=b'9' => self.digit(u64::from(byte - b'0'))?,
                b'\n' => self.line()?,
                _ => return Err("the map holds something that is no number"),
            }
            if self.wanted == Some(self.numbers.len()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn digit(&mut self, digit: u64) -> Result<(), &'static str> {
        let number = self.digits.unwrap_or(0).checked_mul(10).and_then(|tens| tens.checked_add(digit));
        self.digits = Some(number.ok_or("a number of the map is too large")?);
        Ok(())
    }

    fn line(&mut self) -> Result<(), &'static str> {
        let number = self.digits.take().ok_or("the map has an empty line")?;
        if self.wanted.is_some() {
            self.numbers.push(number);
            return Ok(());
        }
        let extents = usize::try_from(number).ok().filter(|extents| *extents <= MAX_EXTENTS);
        self.wanted = Some(extents.ok_or(TOO_MANY)? * 2);
        Ok(())
    }

    pub(super) fn into_numbers(self) -> Vec<u64> {
        self.numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extents(pairs: &[(u64, u64)]) -> Vec<Extent> {
        pairs.iter().map(|(offset, len)| Extent { offset: *offset, len: *len }).collect()
    }

    #[test]
    fn a_map_that_disagrees_with_its_file_is_refused() {
        assert!(SparseMap::check(extents(&[(0, 5), (10, 5), (20, 0)]), 20, 10).is_ok());
        for (map, real_size, data_len) in [
            (&[(0, 5), (4, 5)][..], 20, 10),
            (&[(10, 5), (0, 5)], 20, 10),
            (&[(10, 11)], 20, 11),
            (&[(0, 5)], 20, 4),
            (&[(0, 5)], 20, 6),
            (&[(u64::MAX, 1)], u64::MAX, 1),
        ] {
            assert!(SparseMap::check(extents(map), real_size, data_len).is_err(), "{map:?}");
        }
    }

    #[test]
    fn a_map_in_the_data_may_span_records() {
        let count = 200;
        let numbers: Vec<u64> = (0..2 * count).map(|number| number * 1_000).collect();
        let text = std::iter::once(count).chain(numbers.iter().copied()).map(|number| format!("{number}\n"));
        let mut bytes = text.collect::<String>().into_bytes();
        bytes.resize(bytes.len().next_multiple_of(RECORD_BYTES), 0);
        let records: Vec<[u8; RECORD_BYTES]> =
            bytes.chunks(RECORD_BYTES).map(|record| record.try_into().unwrap()).collect();
        let mut text = MapText::default();
        let complete: Vec<bool> = records.iter().map(|record| text.take(record).unwrap()).collect();
        assert_eq!(complete.iter().position(|complete| *complete), Some(records.len() - 1));
        assert_eq!(text.into_numbers(), numbers);
    }

    #[test]
    fn a_map_in_the_data_cannot_ask_for_much_memory() {
        let mut record = [0; RECORD_BYTES];
        record[..10].copy_from_slice(b"999999999\n");
        assert_eq!(MapText::default().take(&record), Err(TOO_MANY));
    }
}
