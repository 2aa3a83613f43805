//! What lies beside a chunk that had to be fetched.
//!
//! The files of a directory lie side by side in an image, and programs read directories: of the chunks around one that
//! is read, most are read soon. A start that nothing foretold would pay a round trip for each of them; so a few are
//! fetched along with it, and more beyond each that proves to be of use.
//!
//! Invariant: what was fetched along and not read yet is at most as much as was read, and an allowance to begin with.

use std::sync::{Mutex, PoisonError};

use super::ChunkIndex;
use super::chunk_table::ChunkTable;

/// Where so many chunks were read among those around one, a program is at work: then more of them are fetched.
const TRODDEN: usize = 2;

/// Chunks on either side that are looked at for that.
const AROUND: usize = 16;

/// Chunks behind, and before, the one that is read: the first where nothing else was read yet. Chosen with the bounds
/// below by replaying recorded starts, see `docs/decisions/0020-guess-what-lies-beside.md`.
const BEHIND: [usize; 2] = [1, 6];
const BEFORE: [usize; 2] = [0, 2];

/// Sealed bytes that may lie here unread before anything was read.
const ALLOWANCE_BYTES: u64 = 1 << 20;

/// Why the chunks beside one are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Touch {
    /// It was not there.
    Missed,
    /// It had been fetched along with another.
    Guessed,
}

/// How good the guesses were so far.
#[derive(Default)]
pub(super) struct Neighbours(Mutex<Record>);

#[derive(Default)]
struct Record {
    read_bytes: u64,
    unread_bytes: u64,
}

impl Neighbours {
    /// A chunk is read; what to fetch along with it, the nearest first.
    pub(super) fn of(
        &self,
        index: ChunkIndex,
        touch: Touch,
        table: &ChunkTable,
        is_touched: impl Fn(ChunkIndex) -> bool,
        is_wanted: impl Fn(ChunkIndex) -> bool,
    ) -> Vec<ChunkIndex> {
        let mut record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let len = table.sealed_len_of(index);
        record.read_bytes += len;
        if touch == Touch::Guessed {
            record.unread_bytes = record.unread_bytes.saturating_sub(len);
        }
        let at = index.as_usize();
        let end = table.area_end(at);
        let around = (at.saturating_sub(AROUND)..end.min(at + 1 + AROUND)).filter(|other| *other != at);
        let trodden = around.filter(|other| is_touched(ChunkIndex::new(*other))).take(TRODDEN).count();
        let is_trodden = usize::from(trodden == TRODDEN);
        let behind = |away: usize| (away <= BEHIND[is_trodden] && at + away < end).then_some(at + away);
        let before = |away: usize| {
            let other = at.checked_sub(away).filter(|_| away <= BEFORE[is_trodden])?;
            (table.area_end(other) == end).then_some(other)
        };
        (1..=AROUND)
            .flat_map(|away| [behind(away), before(away)])
            .flatten()
            .map(ChunkIndex::new)
            .filter(|beside| is_wanted(*beside))
            .take_while(|beside| record.admits(table.sealed_len_of(*beside)))
            .collect()
    }
}

impl Record {
    fn admits(&mut self, len: u64) -> bool {
        let unread = self.unread_bytes + len;
        let is_admitted = unread <= ALLOWANCE_BYTES + self.read_bytes;
        if is_admitted {
            self.unread_bytes = unread;
        }
        is_admitted
    }
}
