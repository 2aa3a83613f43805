//! What lies beside a chunk that had to be fetched.
//!
//! The files of a directory lie side by side in an image, and programs read directories: of the chunks around one that
//! is read, most are read soon. A start that nothing foretold would pay a round trip for each of them; so a few are
//! fetched along with it, and more beyond each that proves to be of use.
//!
//! Invariant: what was fetched along and not read yet is at most as much as was read, and an allowance to begin with.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::ChunkIndex;
use super::chunk_table::ChunkTable;

/// A program is at work where this many chunks were read among those around one: then more of them are
/// fetched.
const TRODDEN: usize = 2;

/// Chunks on either side that are looked at for that.
const AROUND: usize = 16;

/// Chunks behind, and before, the one that is read: the first number where nothing else was read yet. Chosen
/// with the bounds below by replaying recorded starts, see `docs/decisions/0020-guess-what-lies-beside.md`.
const BEHIND: [usize; 2] = [1, 6];
const BEFORE: [usize; 2] = [0, 2];

/// Sealed bytes that may lie here unread before anything was read.
const ALLOWANCE_BYTES: u64 = 1 << 20;

/// What was fetched along, and how good the guesses were so far.
#[derive(Default)]
pub(super) struct Neighbours(Mutex<Record>);

#[derive(Default)]
struct Record {
    read_bytes: u64,
    /// Fetched along, or about to be, and not read yet.
    guessed: HashSet<ChunkIndex>,
    guessed_bytes: u64,
}

impl Neighbours {
    /// A chunk of `len` sealed bytes is read for the first time; says whether it was a guess.
    pub(super) fn read(&self, index: ChunkIndex, len: u64) -> bool {
        let mut record = self.record();
        record.read_bytes += len;
        let was_guessed = record.guessed.remove(&index);
        if was_guessed {
            record.guessed_bytes -= len;
        }
        was_guessed
    }

    /// What to fetch along with a chunk that is read, the nearest first.
    pub(super) fn of(
        &self,
        index: ChunkIndex,
        table: &ChunkTable,
        is_touched: impl Fn(ChunkIndex) -> bool,
        is_wanted: impl Fn(ChunkIndex) -> bool,
    ) -> Vec<ChunkIndex> {
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
        let mut record = self.record();
        (1..=AROUND)
            .flat_map(|away| [behind(away), before(away)])
            .flatten()
            .map(ChunkIndex::new)
            .filter(|beside| is_wanted(*beside))
            .take_while(|beside| record.admits(*beside, table.sealed_len_of(*beside)))
            .collect()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn admits(&mut self, index: ChunkIndex, len: u64) -> bool {
        if self.guessed.contains(&index) {
            return true;
        }
        let is_admitted = self.guessed_bytes + len <= ALLOWANCE_BYTES + self.read_bytes;
        if is_admitted {
            self.guessed.insert(index);
            self.guessed_bytes += len;
        }
        is_admitted
    }
}
