//! A sealed chunk as five shards, any four of which are the chunk: four pieces and their XOR.
//!
//! A shard describes itself, because a fleet's membership changes under it and its node may lie. All numbers
//! little-endian:
//!
//! ```text
//! 0..4    "fzs1"      what this is, and its version
//! 4       index       0..=3 a piece of the chunk, 4 the parity
//! 5..8    zero
//! 8..12   sealed_len  length of the whole sealed chunk, in bytes
//! 12..16  root        the number of the chunk's root
//! 16..48  id          the chunk's id
//! 48..    body        ceil(sealed_len / 4) bytes; the last pieces end in zeros
//! ```
//!
//! No checksum: the chunk's id is one, and which shard lies follows from the four that do not.

use bytes::{BufMut, Bytes, BytesMut};
use frazil_format::SealedChunk;

use crate::Wanted;

/// How many pieces a chunk is cut into.
pub(super) const DATA_SHARDS: usize = 4;

/// How many shards a chunk has: the pieces and one parity.
pub(super) const SHARDS: usize = DATA_SHARDS + 1;

/// The index of the parity.
pub(super) const PARITY: usize = DATA_SHARDS;

/// The bytes before a shard's body.
pub(super) const HEADER_LEN: usize = 48;

const MAGIC: &[u8; 4] = b"fzs1";

/// The length of a shard with its header, in bytes.
pub(super) fn item_len(sealed_len: u32) -> usize {
    HEADER_LEN + body_len(sealed_len)
}

fn body_len(sealed_len: u32) -> usize {
    sealed_len.div_ceil(DATA_SHARDS as u32) as usize
}

/// One shard that claims to be of a chunk that was wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Shard {
    /// Which one, below [`SHARDS`].
    pub(super) index: usize,
    body: Bytes,
}

impl Shard {
    /// A shard of a chunk.
    pub(super) fn of(chunk: &SealedChunk, index: usize) -> Self {
        let sealed = chunk.bytes();
        let len = sealed.len().div_ceil(DATA_SHARDS);
        let piece = |index: usize| {
            let start = (index * len).min(sealed.len());
            &sealed[start..(start + len).min(sealed.len())]
        };
        let mut body = vec![0; len];
        if index == PARITY {
            (0..DATA_SHARDS).for_each(|data| xor(&mut body, piece(data)));
        } else {
            xor(&mut body, piece(index));
        }
        Self { index, body: body.into() }
    }

    /// What a node holds, if it claims to be a shard of this chunk.
    pub(super) fn parse(item: Bytes, wanted: &Wanted) -> Option<Self> {
        let index = usize::from(*item.get(4)?);
        if index >= SHARDS || item.len() != item_len(wanted.sealed_len) {
            return None;
        }
        if item.get(..HEADER_LEN)? != header(wanted, index) {
            return None;
        }
        let shard = Self { index, body: item.slice(HEADER_LEN..) };
        shard.is_padded_with_zeros(wanted.sealed_len).then_some(shard)
    }

    /// The shard as a node holds it.
    pub(super) fn to_item(&self, wanted: &Wanted) -> Bytes {
        let mut item = BytesMut::with_capacity(HEADER_LEN + self.body.len());
        item.put_slice(&header(wanted, self.index));
        item.put_slice(&self.body);
        item.freeze()
    }

    /// Bytes behind the chunk's end are not under its id's protection, but the parity covers them.
    fn is_padded_with_zeros(&self, sealed_len: u32) -> bool {
        if self.index == PARITY {
            return true;
        }
        let used = (sealed_len as usize).saturating_sub(self.index * self.body.len());
        self.body.iter().skip(used).all(|&byte| byte == 0)
    }
}

fn header(wanted: &Wanted, index: usize) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let mut rest = &mut header[..];
    rest.put_slice(MAGIC);
    rest.put_u32_le(index as u32);
    rest.put_u32_le(wanted.sealed_len);
    rest.put_u32_le(wanted.root.number());
    rest.put_slice(wanted.id.as_bytes());
    header
}

/// The sealed bytes that four shards of different indexes make, to be verified; `None` if they are not that.
pub(super) fn join(shards: [&Shard; DATA_SHARDS], sealed_len: u32) -> Option<Bytes> {
    let mut by_index: [Option<&Shard>; SHARDS] = [None; SHARDS];
    let len = body_len(sealed_len);
    for shard in shards {
        if shard.body.len() != len || by_index.get_mut(shard.index)?.replace(shard).is_some() {
            return None;
        }
    }
    let mut sealed = BytesMut::with_capacity(len * DATA_SHARDS);
    for piece in by_index.into_iter().take(DATA_SHARDS) {
        match piece {
            Some(shard) => sealed.put_slice(&shard.body),
            None => {
                let start = sealed.len();
                sealed.put_bytes(0, len);
                shards.into_iter().for_each(|shard| xor(&mut sealed[start..], &shard.body));
            }
        }
    }
    sealed.truncate(sealed_len as usize);
    Some(sealed.freeze())
}

fn xor(into: &mut [u8], from: &[u8]) {
    into.iter_mut().zip(from).for_each(|(into, from)| *into ^= from);
}

#[cfg(test)]
mod tests {
    use frazil_format::{ChunkId, RootId};
    use proptest::prelude::*;

    use super::*;

    fn chunk(sealed: &[u8]) -> (Wanted, SealedChunk) {
        let id = ChunkId::of(sealed);
        let chunk = SealedChunk::verify(&id, Bytes::copy_from_slice(sealed)).unwrap();
        (Wanted { root: RootId::FIRST, id, sealed_len: sealed.len() as u32 }, chunk)
    }

    fn shards(chunk: &SealedChunk) -> Vec<Shard> {
        (0..SHARDS).map(|index| Shard::of(chunk, index)).collect()
    }

    fn without(shards: &[Shard], lost: usize) -> [&Shard; DATA_SHARDS] {
        let rest: Vec<_> = shards.iter().filter(|shard| shard.index != lost).collect();
        rest.try_into().unwrap()
    }

    #[test]
    fn a_shard_is_these_bytes() {
        let (wanted, chunk) = chunk(b"hello");
        let item = Shard::of(&chunk, 1).to_item(&wanted);
        let mut expected = b"fzs1\x01\0\0\0\x05\0\0\0\x01\0\0\0".to_vec();
        expected.extend_from_slice(wanted.id.as_bytes());
        expected.extend_from_slice(b"ll");
        assert_eq!(item, expected);
        assert_eq!(&Shard::of(&chunk, 2).to_item(&wanted)[HEADER_LEN..], b"o\0");
        assert_eq!(&Shard::of(&chunk, 3).to_item(&wanted)[HEADER_LEN..], b"\0\0");
        assert_eq!(
            &Shard::of(&chunk, PARITY).to_item(&wanted)[HEADER_LEN..],
            [b'h' ^ b'l' ^ b'o', b'e' ^ b'l']
        );
    }

    proptest! {
        #[test]
        fn any_four_shards_are_the_chunk(sealed in prop::collection::vec(any::<u8>(), 1..2000), lost in 0..SHARDS) {
            let (wanted, chunk) = chunk(&sealed);
            let shards = shards(&chunk);
            prop_assert_eq!(join(without(&shards, lost), wanted.sealed_len).unwrap(), &sealed);
        }

        #[test]
        fn a_shard_survives_its_item(sealed in prop::collection::vec(any::<u8>(), 1..2000), index in 0..SHARDS) {
            let (wanted, chunk) = chunk(&sealed);
            let shard = Shard::of(&chunk, index);
            prop_assert_eq!(Shard::parse(shard.to_item(&wanted), &wanted).unwrap(), shard);
        }

        #[test]
        fn one_corrupt_shard_never_makes_a_wrong_chunk_and_the_others_make_the_right_one(
            sealed in prop::collection::vec(any::<u8>(), 1..2000),
            index in 0..SHARDS, at in any::<prop::sample::Index>(), bit in 0..8u8,
        ) {
            let (wanted, chunk) = chunk(&sealed);
            let mut shards = shards(&chunk);
            let mut item = shards[index].to_item(&wanted).to_vec();
            let at = at.index(item.len());
            item[at] ^= 1u8 << bit;
            prop_assert_eq!(join(without(&shards, index), wanted.sealed_len).unwrap(), &sealed);
            // Seen at once, or a liar among five: no combination with it is another chunk.
            if let Some(liar) = Shard::parse(item.into(), &wanted) {
                shards[index] = liar;
                for lost in (0..SHARDS).filter(|&lost| lost != index) {
                    let four: Vec<_> = (0..SHARDS).filter(|&at| at != lost).map(|at| &shards[at]).collect();
                    let Some(joined) = join(four.try_into().unwrap(), wanted.sealed_len) else { continue };
                    let verified = SealedChunk::verify(&wanted.id, joined);
                    prop_assert!(verified.is_err() || verified.unwrap() == chunk);
                }
            }
        }

        #[test]
        fn foreign_bytes_are_no_shard(item in prop::collection::vec(any::<u8>(), 0..200)) {
            let (wanted, _) = chunk(&[7; 400]);
            prop_assert!(Shard::parse(item.into(), &wanted).is_none());
        }
    }

    #[test]
    fn shards_of_another_chunk_root_or_length_are_refused() {
        let ((wanted, chunk_a), (other, _)) = (chunk(&[1; 100]), chunk(&[2; 100]));
        let item = Shard::of(&chunk_a, 0).to_item(&wanted);
        assert!(Shard::parse(item.clone(), &other).is_none());
        assert!(Shard::parse(item.clone(), &Wanted { root: RootId::from_number(2), ..wanted }).is_none());
        assert!(Shard::parse(item.clone(), &Wanted { sealed_len: 101, ..wanted }).is_none());
        assert!(Shard::parse(item.slice(..item.len() - 1), &wanted).is_none());
        assert!(Shard::parse(Bytes::new(), &wanted).is_none());
    }

    #[test]
    fn four_shards_of_which_two_are_the_same_are_not_a_chunk() {
        let (wanted, chunk) = chunk(&[1; 100]);
        let shards = shards(&chunk);
        assert!(join([&shards[0], &shards[1], &shards[1], &shards[2]], wanted.sealed_len).is_none());
    }
}
