//! What an image lets go of while nobody reads it.
//!
//! Invariant: what goes is fetched again when it is read; and if it was fetched ahead of a reader that had
//! not come, it is counted as thrown away.

use super::prefetch::Source;
use super::{ChunkIndex, Image};

impl Image {
    /// Lets go of what is kept in memory only because it might be read again.
    pub fn rest(&self) {
        let gone = self.decoded.clear().into_iter().chain(self.opened_ahead.clear());
        self.throw_away(gone.chain(self.sealed.clear_spare()));
    }

    /// Lets go, too, of what was fetched ahead of readers that have not come. The metadata stays: the tree
    /// cannot be shown without it.
    pub fn give_up_waiting(&self) {
        self.rest();
        let is_foretold = |index| self.marks.ahead_for(index) != Some(Source::Metadata);
        self.throw_away(self.sealed.clear_ahead(is_foretold));
        self.prefetches.has_room();
    }

    fn throw_away(&self, gone: impl IntoIterator<Item = ChunkIndex>) {
        gone.into_iter().for_each(|gone| self.marks.evicted(gone));
    }
}
