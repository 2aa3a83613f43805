//! What may be complained of in the log: one line per chunk and interval, so that a program that retries a
//! broken chunk a thousand times a second writes one line, and the next one says how many were left out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use frazil_format::ChunkId;

/// A chunk is complained of once in this time.
const INTERVAL: Duration = Duration::from_secs(30);

/// Chunks that are remembered; past it the oldest complaints are forgotten, and may come again.
const REMEMBERED_MAX: usize = 1024;

/// What was complained of lately.
#[derive(Default)]
pub(super) struct Complaints(Mutex<HashMap<Option<ChunkId>, Complaint>>);

struct Complaint {
    last: Instant,
    left_out: u64,
}

impl Complaints {
    /// Whether this error may be logged now, and if so how many of its like were left out before it.
    pub(super) fn admit(&self, chunk: Option<ChunkId>) -> Option<u64> {
        let now = Instant::now();
        let mut complaints = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(complaint) = complaints.get_mut(&chunk) {
            if now.duration_since(complaint.last) < INTERVAL {
                complaint.left_out += 1;
                return None;
            }
            complaint.last = now;
            return Some(std::mem::take(&mut complaint.left_out));
        }
        if complaints.len() >= REMEMBERED_MAX {
            complaints.retain(|_, complaint| now.duration_since(complaint.last) < INTERVAL);
        }
        if complaints.len() >= REMEMBERED_MAX {
            complaints.clear();
        }
        complaints.insert(chunk, Complaint { last: now, left_out: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_complained_of_once_however_often_it_fails() {
        let complaints = Complaints::default();
        let (one, other) = (ChunkId::of(b"one"), ChunkId::of(b"other"));
        assert_eq!(complaints.admit(Some(one)), Some(0));
        for _ in 0..1000 {
            assert_eq!(complaints.admit(Some(one)), None);
        }
        assert_eq!(complaints.admit(Some(other)), Some(0));
    }

    #[test]
    fn a_million_bad_chunks_are_not_remembered_forever() {
        let complaints = Complaints::default();
        for n in 0..10_000_u32 {
            complaints.admit(Some(ChunkId::of(&n.to_le_bytes())));
        }
        assert!(complaints.0.lock().unwrap().len() <= REMEMBERED_MAX);
    }
}
