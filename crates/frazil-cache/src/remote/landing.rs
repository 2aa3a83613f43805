//! Where a chunk's pieces are read to: side by side in one allocation, so that they are the chunk once they are there.
//!
//! The invariant: a room is given out once. Whoever finds it taken reads to memory of its own, and the
//! joining copies.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;

use super::shard::{DATA_SHARDS, body_len};

/// Rooms for the pieces of one chunk.
#[derive(Clone, Debug)]
pub(super) struct Landing {
    rooms: Arc<Mutex<[Option<BytesMut>; DATA_SHARDS]>>,
    sealed_len: u32,
}

impl Landing {
    /// Rooms for a sealed chunk of `sealed_len` bytes.
    pub(super) fn of(sealed_len: u32) -> Self {
        let len = body_len(sealed_len);
        let mut whole = BytesMut::with_capacity(len * DATA_SHARDS);
        let mut rooms: [Option<BytesMut>; DATA_SHARDS] = Default::default();
        for (index, room) in rooms.iter_mut().enumerate().rev() {
            *room = Some(whole.split_off(index * len));
        }
        Self { rooms: Arc::new(Mutex::new(rooms)), sealed_len }
    }

    /// The room of the piece of this index, empty; none if it was taken, or if no piece has this index.
    pub(super) fn take(&self, index: usize) -> Option<BytesMut> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index)?.take()
    }

    /// Room for the body of a shard of this index, wherever it is.
    pub(super) fn room(&self, index: usize, len: usize) -> BytesMut {
        let own = (len == body_len(self.sealed_len)).then(|| self.take(index)).flatten();
        own.unwrap_or_else(|| BytesMut::with_capacity(len))
    }

    /// The length of the chunk, in bytes.
    pub(super) fn sealed_len(&self) -> u32 {
        self.sealed_len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_that_were_read_side_by_side_are_the_chunk_without_a_copy() {
        let landing = Landing::of(7);
        let mut pieces: Vec<BytesMut> = (0..DATA_SHARDS).rev().map(|index| landing.room(index, 2)).collect();
        pieces.reverse();
        let mut whole = BytesMut::new();
        let start = pieces.first().map(|piece| piece.as_ptr());
        for (piece, byte) in pieces.into_iter().zip(1u8..) {
            let mut piece = piece;
            piece.extend_from_slice(&[byte, byte]);
            whole.unsplit(piece);
        }
        assert_eq!((Some(whole.as_ptr()), &whole[..]), (start, &[1, 1, 2, 2, 3, 3, 4, 4][..]));
    }

    #[test]
    fn a_room_is_given_out_once_and_only_for_what_fits() {
        let landing = Landing::of(400);
        assert!(
            landing.room(1, 99).capacity() >= 99 && landing.take(1).is_some(),
            "another length leaves it"
        );
        assert!(landing.take(1).is_none() && landing.take(DATA_SHARDS).is_none());
        assert!(landing.room(1, 100).capacity() >= 100);
    }
}
