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

use super::landing::Landing;
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

/// The length of a shard without its header, in bytes.
pub(super) fn body_len(sealed_len: u32) -> usize {
    sealed_len.div_ceil(DATA_SHARDS as u32) as usize
}

/// What a node holds under the key of a shard: whatever that is.
#[derive(Debug)]
pub(super) struct Item {
    /// The first [`HEADER_LEN`] bytes, or all if there are fewer.
    pub(super) head: Bytes,
    /// The rest.
    pub(super) body: BytesMut,
}

/// The index of the shard that starts like this; nothing else is known of it yet.
pub(super) fn index_of(head: &[u8]) -> usize {
    head.get(MAGIC.len()).copied().map_or(SHARDS, usize::from)
}

/// One shard that claims to be of a chunk that was wanted.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Shard {
    /// Which one, below [`SHARDS`].
    pub(super) index: usize,
    body: BytesMut,
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
        let mut body = BytesMut::with_capacity(len);
        if index == PARITY {
            body.resize(len, 0);
            (0..DATA_SHARDS).for_each(|data| xor(&mut body, piece(data)));
        } else {
            body.extend_from_slice(piece(index));
            body.resize(len, 0);
        }
        Self { index, body }
    }

    /// What a node had, if it claims to be a shard of the chunk.
    pub(super) fn parse(item: Item, wanted: &Wanted) -> Option<Self> {
        let Item { head, body } = item;
        let index = index_of(&head);
        if index >= SHARDS || body.len() != body_len(wanted.sealed_len) || head != header(wanted, index)[..] {
            return None;
        }
        let shard = Self { index, body };
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

/// The sealed bytes that four shards of different indexes make, padded and to be verified; without a copy if all of
/// them were read to their landing.
pub(super) fn join(shards: [Shard; DATA_SHARDS], landing: &Landing) -> Bytes {
    let len = body_len(landing.sealed_len());
    let mut bodies: [Option<BytesMut>; SHARDS] = Default::default();
    for Shard { index, body } in shards {
        if let Some(slot) = bodies.get_mut(index) {
            *slot = Some(body);
        }
    }
    let [pieces @ .., parity] = &mut bodies;
    if let (Some(missing), Some(parity)) = (pieces.iter().position(Option::is_none), parity) {
        let mut piece = landing.room(missing, len);
        piece.extend_from_slice(parity);
        pieces.iter().flatten().for_each(|body| xor(&mut piece, body));
        pieces[missing] = Some(piece);
    }
    let mut pieces = bodies.into_iter().take(DATA_SHARDS).flatten();
    let mut sealed = pieces.next().unwrap_or_default();
    for piece in pieces {
        let is_behind = piece.as_ptr() == sealed.as_ptr_range().end;
        if !is_behind && sealed.capacity() - sealed.len() < piece.len() {
            // Once for all that lie elsewhere.
            sealed.reserve(len * DATA_SHARDS);
        }
        sealed.unsplit(piece);
    }
    sealed.freeze()
}

/// Cuts what the shards of these indexes made into those shards again.
pub(super) fn part(joined: &Bytes, indexes: [usize; DATA_SHARDS]) -> [Shard; DATA_SHARDS] {
    let len = joined.len() / DATA_SHARDS;
    indexes.map(|index| {
        let mut body = BytesMut::zeroed(len);
        let pieces = joined.chunks(len.max(1)).enumerate();
        pieces.filter(|(at, _)| index == PARITY || *at == index).for_each(|(_, piece)| xor(&mut body, piece));
        Shard { index, body }
    })
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

    /// All but one, read to where they belong or elsewhere.
    fn without(
        shards: &[Bytes],
        lost: usize,
        wanted: &Wanted,
        landing: &Landing,
    ) -> Option<[Shard; DATA_SHARDS]> {
        let rest = (0..SHARDS).filter(|&index| index != lost);
        let rest: Option<Vec<_>> =
            rest.map(|index| Shard::parse(landed(&shards[index], landing), wanted)).collect();
        let four: [Shard; DATA_SHARDS] = rest?.try_into().unwrap();
        // Whoever gathers keeps one shard of each index; one that says that it is another's is not a fourth.
        let indexes: std::collections::BTreeSet<_> = four.iter().map(|shard| shard.index).collect();
        (indexes.len() == DATA_SHARDS).then_some(four)
    }

    fn landed(item: &Bytes, landing: &Landing) -> Item {
        let head = item.slice(..HEADER_LEN.min(item.len()));
        let rest = &item[head.len()..];
        let mut body = landing.room(index_of(&head), rest.len());
        body.extend_from_slice(rest);
        Item { head, body }
    }

    fn parse(item: Bytes, wanted: &Wanted) -> Option<Shard> {
        Shard::parse(landed(&item, &Landing::of(wanted.sealed_len)), wanted)
    }

    fn items(chunk: &SealedChunk, wanted: &Wanted) -> Vec<Bytes> {
        (0..SHARDS).map(|index| Shard::of(chunk, index).to_item(wanted)).collect()
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
        fn any_four_shards_are_the_chunk_wherever_they_were_read_to(
            sealed in prop::collection::vec(any::<u8>(), 1..2000), lost in 0..SHARDS, taken in 0..1u8 << DATA_SHARDS,
        ) {
            let (wanted, chunk) = chunk(&sealed);
            let landing = Landing::of(wanted.sealed_len);
            // Somebody else reads to these rooms just now.
            let _taken: Vec<_> =
                (0..DATA_SHARDS).filter(|index| taken & (1 << index) != 0).map(|index| landing.take(index)).collect();
            let four = without(&items(&chunk, &wanted), lost, &wanted, &landing).unwrap();
            let indexes = four.each_ref().map(|shard| shard.index);
            let joined = join(four, &landing);
            prop_assert_eq!(&joined[..sealed.len()], &sealed);
            prop_assert_eq!(joined.len(), body_len(wanted.sealed_len) * DATA_SHARDS);
            prop_assert_eq!(part(&joined, indexes), indexes.map(|index| Shard::of(&chunk, index)));
        }

        #[test]
        fn a_shard_survives_its_item(sealed in prop::collection::vec(any::<u8>(), 1..2000), index in 0..SHARDS) {
            let (wanted, chunk) = chunk(&sealed);
            let shard = Shard::of(&chunk, index);
            prop_assert_eq!(parse(shard.to_item(&wanted), &wanted).unwrap(), shard);
        }

        #[test]
        fn one_corrupt_shard_never_makes_a_wrong_chunk_and_the_others_make_the_right_one(
            sealed in prop::collection::vec(any::<u8>(), 1..2000),
            index in 0..SHARDS, at in any::<prop::sample::Index>(), bit in 0..8u8,
        ) {
            let (wanted, chunk) = chunk(&sealed);
            let mut items = items(&chunk, &wanted);
            let mut item = items[index].to_vec();
            let at = at.index(item.len());
            item[at] ^= 1u8 << bit;
            items[index] = item.into();
            // Seen at once, or a liar among five: no combination with it is another chunk.
            for lost in 0..SHARDS {
                let landing = Landing::of(wanted.sealed_len);
                let Some(four) = without(&items, lost, &wanted, &landing) else { continue };
                let joined = join(four, &landing).slice(..sealed.len());
                let verified = SealedChunk::verify(&wanted.id, joined);
                prop_assert!(verified.as_ref().is_ok_and(|found| *found == chunk) || (verified.is_err() && lost != index));
            }
        }

        #[test]
        fn foreign_bytes_are_no_shard(item in prop::collection::vec(any::<u8>(), 0..200)) {
            let (wanted, _) = chunk(&[7; 400]);
            prop_assert!(parse(item.into(), &wanted).is_none());
        }
    }

    #[test]
    fn shards_of_another_chunk_root_or_length_are_refused() {
        let ((wanted, chunk_a), (other, _)) = (chunk(&[1; 100]), chunk(&[2; 100]));
        let item = Shard::of(&chunk_a, 0).to_item(&wanted);
        assert!(parse(item.clone(), &other).is_none());
        assert!(parse(item.clone(), &Wanted { root: RootId::from_number(2), ..wanted }).is_none());
        assert!(parse(item.clone(), &Wanted { sealed_len: 101, ..wanted }).is_none());
        assert!(parse(item.slice(..item.len() - 1), &wanted).is_none());
        assert!(parse(Bytes::new(), &wanted).is_none());
    }
}
