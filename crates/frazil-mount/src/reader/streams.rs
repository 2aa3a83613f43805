//! Programs that read front to back, and how far ahead of them to fetch.
//!
//! Several streams are followed at once; each is recognised by the chunk that it will touch next. What is fetched
//! ahead of one is bounded by a share of what it has read so far, so that a stream that ends costs at most that share
//! in vain, and by a maximum. A touch elsewhere begins a new stream in the place of the one that has rested longest.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::ChunkIndex;
use super::chunk_table::ChunkTable;

/// Streams that are followed at once.
const STREAMS_MAX: usize = 16;

/// The kernel asks for parts of its own read-ahead in any order: a touch this many chunks beside the expected
/// one still belongs to a stream.
const REORDER: usize = 2;

/// A stream counts as one only after this many chunks in a row.
const CHUNKS_BEFORE: usize = 4;

/// For this many bytes that a stream has read, one byte is fetched ahead of it.
const AHEAD_SHARE: u64 = 2;

/// The streams of one image.
pub(super) struct Streams {
    max_bytes: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    streams: Vec<Stream>,
    clock: u64,
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    /// The chunk behind the last that was read.
    next: usize,
    /// The chunk behind the last that was fetched ahead.
    ahead: usize,
    /// The end of the metadata area or layer that it is in.
    end: usize,
    chunks_read: usize,
    bytes_read: u64,
    last_touch: u64,
}

impl Streams {
    /// Streams, with at most `max_bytes` ahead of each; none at all with 0.
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { max_bytes, state: Mutex::default() }
    }

    /// A chunk is read, for the first time since it was decoded; says what to fetch ahead now.
    pub(super) fn touch(&self, index: ChunkIndex, table: &ChunkTable) -> Range<usize> {
        let index = index.as_usize();
        if self.max_bytes == 0 {
            return index..index;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clock += 1;
        let clock = state.clock;
        let expected = |stream: &Stream| {
            let from = stream.next.saturating_sub(REORDER + 1);
            (from..=stream.next + REORDER).contains(&index) && index < stream.end
        };
        match state.streams.iter_mut().find(|stream| expected(stream)) {
            Some(stream) => {
                stream.last_touch = clock;
                stream.advance(index, table, self.max_bytes)
            }
            None => {
                state.begin(Stream {
                    next: index + 1,
                    ahead: index + 1,
                    end: table.area_end(index),
                    chunks_read: 1,
                    bytes_read: table.len_of(index),
                    last_touch: clock,
                });
                index..index
            }
        }
    }
}

impl State {
    fn begin(&mut self, stream: Stream) {
        if self.streams.len() < STREAMS_MAX {
            self.streams.push(stream);
        } else if let Some(rested) = self.streams.iter_mut().min_by_key(|stream| stream.last_touch) {
            *rested = stream;
        }
    }
}

impl Stream {
    fn advance(&mut self, index: usize, table: &ChunkTable, max_bytes: u64) -> Range<usize> {
        self.chunks_read += 1;
        self.bytes_read += table.len_of(index);
        self.next = self.next.max(index + 1);
        self.ahead = self.ahead.max(self.next);
        let from = self.ahead;
        if self.chunks_read <= CHUNKS_BEFORE {
            return from..from;
        }
        let window = (self.bytes_read / AHEAD_SHARE).min(max_bytes);
        let mut bytes: u64 = (self.next..self.ahead).map(|index| table.len_of(index)).sum();
        while self.ahead < self.end {
            bytes += table.len_of(self.ahead);
            if bytes > window {
                break;
            }
            self.ahead += 1;
        }
        from..self.ahead
    }
}
