//! Cutting a stream into chunks, by what it holds: the FastCDC of 2020 (Xia et al.), so that equal content gives equal
//! chunks wherever it lies.
//!
//! Invariant: the chunks depend on the stream's bytes and the parameters alone, not on how the bytes arrive. Long
//! runs of zero blocks belong to no chunk; they end one segment of the stream and start the next, and each
//! segment is cut as if it stood alone.

use bytes::{Buf, Bytes, BytesMut};
use fastcdc::v2020::{self, MASKS};
use frazil_format::{BLOCK_SIZE, MAX_CHUNK_LEN};

use crate::ConvertError;

/// The shortest run of zeros that is left out of the chunks, in bytes; it starts and ends on blocks. Shorter runs
/// cost next to nothing once compressed, but every run that is left out ends a chunk early.
pub const MIN_ZERO_RUN: u64 = 64 << 10;

/// Bytes that are taken in at once, which bounds the buffer.
const INTAKE_BYTES: usize = 1 << 20;
/// What is allocated when the buffer is full. Chunks are slices of it, so that none is copied.
const ALLOCATION_BYTES: usize = 4 << 20;
const BLOCK: usize = BLOCK_SIZE as usize;
static ZERO_BLOCK: [u8; BLOCK] = [0; BLOCK];
static ZERO_RUN: [u8; MIN_ZERO_RUN as usize] = [0; MIN_ZERO_RUN as usize];

/// The sizes that chunks are cut to. They are part of a layer index's name: other sizes, other chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutParameters {
    min: u32,
    average: u32,
    max: u32,
}

impl Default for CutParameters {
    fn default() -> Self {
        Self { min: 32 << 10, average: 128 << 10, max: 512 << 10 }
    }
}

impl CutParameters {
    /// Chunks of at least `min` bytes (but for the last of a segment), at most `max`, and about `average`.
    pub fn new(min: u32, average: u32, max: u32) -> Result<Self, ConvertError> {
        let bad = |reason| ConvertError::BadCutParameters { min, average, max, reason };
        if !average.is_power_of_two() || !(1 << 10..=1 << 21).contains(&average) {
            return Err(bad("the average is not a power of two from 1 KiB to 2 MiB"));
        }
        if !(64..=average).contains(&min) || !(average..=MAX_CHUNK_LEN).contains(&max) {
            return Err(bad("the average does not lie between the others, or these are out of bounds"));
        }
        if !min.is_multiple_of(2) || !max.is_multiple_of(2) {
            return Err(bad("a size is odd"));
        }
        Ok(Self { min, average, max })
    }

    /// What identifies this way of cutting.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = b"fastcdc v2020, normal 1, zero runs".to_vec();
        bytes.extend_from_slice(&MIN_ZERO_RUN.to_le_bytes());
        for size in [self.min, self.average, self.max] {
            bytes.extend_from_slice(&size.to_le_bytes());
        }
        bytes
    }

    /// The length of the first chunk of a segment; right also if the segment goes on, once `max` bytes are there.
    fn first_chunk(self, segment: &[u8]) -> usize {
        // Level 1 of FastCDC's normalisation: a mask of one bit more below the average, of one less above it.
        let bits = self.average.ilog2() as usize;
        let mask = |bits: usize| MASKS.get(bits).copied().unwrap_or_default();
        let (strict, loose) = (mask(bits + 1), mask(bits - 1));
        let [min, average, max] = [self.min, self.average, self.max].map(|size| size as usize);
        let (_, len) = v2020::cut(segment, min, average, max, strict, loose, strict << 1, loose << 1);
        // A cut after no byte at all would never end.
        if len == 0 { segment.len().min(max) } else { len }
    }
}

/// A chunk and where in the stream it starts, in bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where the chunk starts in the stream, in bytes.
    pub offset: u64,
    /// The chunk.
    pub bytes: Bytes,
}

/// Cuts one stream.
pub struct Cutter {
    parameters: CutParameters,
    /// The stream from `start` on, as far as it is not cut yet.
    buffer: BytesMut,
    start: u64,
    /// Up to here, whole blocks are known to be zero or not.
    examined: u64,
    /// Where the run of zero blocks that ends at `examined` starts.
    zeros_from: Option<u64>,
    /// Whether that run is long enough to be left out. The buffer then starts at `examined`.
    in_hole: bool,
}

impl Cutter {
    /// A cutter at the start of a stream.
    pub fn new(parameters: CutParameters) -> Self {
        Self { parameters, buffer: BytesMut::new(), start: 0, examined: 0, zeros_from: None, in_hole: false }
    }

    /// The stream's length so far, in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a length to continue at, not a collection's")]
    pub fn len(&self) -> u64 {
        self.start + self.buffer.len() as u64
    }

    /// Takes the next bytes, and gives the chunks that are complete to `emit`, whose error ends it.
    pub fn data<E>(&mut self, bytes: &[u8], emit: &mut impl FnMut(Cut) -> Result<(), E>) -> Result<(), E> {
        for intake in bytes.chunks(INTAKE_BYTES) {
            if self.buffer.capacity() - self.buffer.len() < intake.len() {
                self.buffer.reserve(ALLOCATION_BYTES);
            }
            self.buffer.extend_from_slice(intake);
            self.examine(emit)?;
        }
        Ok(())
    }

    /// Takes the next `len` bytes, which are zero. A long run costs no more than a short one.
    pub fn zeros<E>(&mut self, len: u64, emit: &mut impl FnMut(Cut) -> Result<(), E>) -> Result<(), E> {
        let to_block = self.len().wrapping_neg() % BLOCK_SIZE;
        let Some(beyond) = len.checked_sub(to_block + MIN_ZERO_RUN) else {
            return self.short_zeros(len, emit);
        };
        self.short_zeros(to_block, emit)?;
        self.short_zeros(MIN_ZERO_RUN, emit)?;
        // The run is long enough now, the buffer is empty, and whole blocks can be passed over.
        let rest = beyond % BLOCK_SIZE;
        self.start += beyond - rest;
        self.examined += beyond - rest;
        self.short_zeros(rest, emit)
    }

    /// Ends the stream, and gives the chunks that are left.
    pub fn finish<E>(mut self, emit: &mut impl FnMut(Cut) -> Result<(), E>) -> Result<(), E> {
        let end = self.len();
        self.end_segment(end, emit)
    }

    fn short_zeros<E>(&mut self, len: u64, emit: &mut impl FnMut(Cut) -> Result<(), E>) -> Result<(), E> {
        let mut left = usize::try_from(len).unwrap_or(usize::MAX);
        while left > 0 {
            let zeros = ZERO_RUN.get(..left).unwrap_or(&ZERO_RUN);
            self.data(zeros, emit)?;
            left -= zeros.len();
        }
        Ok(())
    }

    /// Looks at the blocks that have become whole.
    fn examine<E>(&mut self, emit: &mut impl FnMut(Cut) -> Result<(), E>) -> Result<(), E> {
        loop {
            let at = (self.examined - self.start) as usize;
            let Some(block) = self.buffer.get(at..at + BLOCK) else { break };
            if block == ZERO_BLOCK {
                self.zero_block(emit)?;
            } else {
                self.zeros_from = None;
                self.in_hole = false;
                self.examined += BLOCK_SIZE;
            }
        }
        self.cut_decided(emit)
    }

    fn zero_block<E>(&mut self, emit: &mut impl FnMut(Cut) -> Result<(), E>) -> Result<(), E> {
        let from = *self.zeros_from.get_or_insert(self.examined);
        self.examined += BLOCK_SIZE;
        if self.examined - from >= MIN_ZERO_RUN {
            if !self.in_hole {
                self.end_segment(from, emit)?;
                self.in_hole = true;
            }
            self.buffer.advance((self.examined - self.start) as usize);
            self.start = self.examined;
        }
        Ok(())
    }

    /// Cuts where more bytes could not change the cut any more.
    fn cut_decided<E>(&mut self, emit: &mut impl FnMut(Cut) -> Result<(), E>) -> Result<(), E> {
        let max = u64::from(self.parameters.max);
        // A pending run of zeros may still turn out to end the segment.
        let decided = self.zeros_from.unwrap_or(self.examined);
        while decided.saturating_sub(self.start) >= max {
            self.cut_one((decided - self.start) as usize, emit)?;
        }
        Ok(())
    }

    fn end_segment<E>(&mut self, end: u64, emit: &mut impl FnMut(Cut) -> Result<(), E>) -> Result<(), E> {
        while self.start < end {
            self.cut_one((end - self.start) as usize, emit)?;
        }
        Ok(())
    }

    fn cut_one<E>(
        &mut self,
        segment_len: usize,
        emit: &mut impl FnMut(Cut) -> Result<(), E>,
    ) -> Result<(), E> {
        let segment = self.buffer.get(..segment_len).unwrap_or(&self.buffer);
        let len = self.parameters.first_chunk(segment);
        let cut = Cut { offset: self.start, bytes: self.buffer.split_to(len).freeze() };
        self.start += len as u64;
        emit(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: CutParameters = CutParameters { min: 1 << 10, average: 4 << 10, max: 16 << 10 };

    /// A stream as runs of noise (true) and zeros.
    fn stream(runs: &[(bool, usize)]) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut bytes = Vec::new();
        for (noise, len) in runs {
            bytes.extend((0..*len).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if *noise { (state >> 56) as u8 | 1 } else { 0 }
            }));
        }
        bytes
    }

    fn cut_in(slices: &[&[u8]]) -> Vec<Cut> {
        let mut cuts = Vec::new();
        let mut emit = |cut| -> Result<(), ()> {
            cuts.push(cut);
            Ok(())
        };
        let mut cutter = Cutter::new(SMALL);
        for slice in slices {
            if slice.iter().all(|byte| *byte == 0) {
                cutter.zeros(slice.len() as u64, &mut emit).unwrap();
            } else {
                cutter.data(slice, &mut emit).unwrap();
            }
        }
        cutter.finish(&mut emit).unwrap();
        cuts
    }

    fn whole(bytes: &[u8]) -> Vec<Cut> {
        let mut cuts = Vec::new();
        let mut emit = |cut| -> Result<(), ()> {
            cuts.push(cut);
            Ok(())
        };
        let mut cutter = Cutter::new(SMALL);
        cutter.data(bytes, &mut emit).unwrap();
        cutter.finish(&mut emit).unwrap();
        cuts
    }

    proptest! {
        #[test]
        fn slices_do_not_move_the_cuts(
            runs in prop::collection::vec((any::<bool>(), 0usize..150_000), 1..8),
            points in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let bytes = stream(&runs);
            let mut points: Vec<usize> = points.iter().map(|point| point.index(bytes.len() + 1)).collect();
            points.extend([0, bytes.len()]);
            points.sort_unstable();
            let slices: Vec<&[u8]> = points.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(cut_in(&slices), whole(&bytes));
        }

        #[test]
        fn chunks_and_left_out_zeros_are_the_stream(
            runs in prop::collection::vec((any::<bool>(), 0usize..150_000), 1..8),
        ) {
            let bytes = stream(&runs);
            let mut rebuilt = vec![0; bytes.len()];
            let mut end = 0;
            for cut in whole(&bytes) {
                prop_assert!(cut.offset >= end, "chunks are in order");
                prop_assert!(cut.offset == end || cut.offset - end >= MIN_ZERO_RUN, "only long runs are left out");
                prop_assert!(!cut.bytes.is_empty() && cut.bytes.len() <= SMALL.max as usize);
                end = cut.offset + cut.bytes.len() as u64;
                rebuilt[cut.offset as usize..end as usize].copy_from_slice(&cut.bytes);
            }
            prop_assert_eq!(rebuilt, bytes);
        }
    }

    #[test]
    fn a_run_of_zeros_is_left_out_at_both_ends_and_in_the_middle() {
        let run = MIN_ZERO_RUN as usize;
        let bytes =
            stream(&[(false, run), (true, 10 * BLOCK), (false, run), (true, 10 * BLOCK), (false, 2 * run)]);
        let cuts = whole(&bytes);
        let covered: usize = cuts.iter().map(|cut| cut.bytes.len()).sum();
        assert_eq!(covered, 20 * BLOCK);
        assert_eq!(cuts[0].offset, MIN_ZERO_RUN);
    }

    #[test]
    fn a_hole_of_eight_gib_costs_nothing() {
        let mut cuts = 0;
        let mut emit = |_| -> Result<(), ()> {
            cuts += 1;
            Ok(())
        };
        let mut cutter = Cutter::new(CutParameters::default());
        cutter.data(b"before", &mut emit).unwrap();
        cutter.zeros(8 << 30, &mut emit).unwrap();
        cutter.data(b"behind", &mut emit).unwrap();
        assert_eq!(cutter.len(), (8 << 30) + 12);
        assert!(cutter.buffer.len() <= BLOCK);
        cutter.finish(&mut emit).unwrap();
        assert_eq!(cuts, 2);
    }

    #[test]
    fn an_inserted_byte_moves_few_cuts() {
        let bytes = stream(&[(true, 1 << 20)]);
        let mut longer = bytes.clone();
        longer.insert(300_000, 7);
        let before: std::collections::HashSet<Bytes> =
            whole(&bytes).into_iter().map(|cut| cut.bytes).collect();
        let after = whole(&longer);
        let new = after.iter().filter(|cut| !before.contains(&cut.bytes)).count();
        assert!(new <= 3, "{new} of {} chunks are new", after.len());
    }

    #[test]
    fn parameters_out_of_bounds_are_refused() {
        assert!(CutParameters::new(32 << 10, 128 << 10, 512 << 10).is_ok());
        for (min, average, max) in [
            (0, 128 << 10, 512 << 10),
            (256 << 10, 128 << 10, 512 << 10),
            (32 << 10, 100_000, 512 << 10),
            (32 << 10, 128 << 10, 64 << 10),
            (32 << 10, 128 << 10, MAX_CHUNK_LEN + 2),
            (1001, 4096, 8192),
        ] {
            assert!(CutParameters::new(min, average, max).is_err(), "{min} {average} {max}");
        }
    }
}
