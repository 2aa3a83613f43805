//! Which nodes a chunk belongs to: rendezvous hashing, highest random weight first.
//!
//! The invariant: a node's place in a chunk's order depends on that node and that chunk alone. A node that joins
//! or leaves moves nothing between the others. All hosts of a zone compute the same order, whatever their
//! version: the weights are pinned by a test.

use frazil_format::ChunkId;

/// What a node's name weighs in with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seed([u64; 2]);

impl Seed {
    /// The seed of a node's name.
    pub(super) fn of(name: &str) -> Self {
        let [a, b, ..] = words(blake3::hash(name.as_bytes()).as_bytes());
        Self([a, b])
    }

    /// The weight of the node for a chunk.
    pub(super) fn weight(self, id: &ChunkId) -> u64 {
        let [a, b, ..] = words(id.as_bytes());
        mix(mix(self.0[0] ^ a) ^ mix(self.0[1] ^ b))
    }
}

/// The indexes of the `count` heaviest nodes for a chunk, heaviest first.
pub(super) fn heaviest(seeds: impl Iterator<Item = Seed>, id: &ChunkId, count: usize) -> Vec<usize> {
    let mut weights: Vec<(u64, usize)> =
        seeds.enumerate().map(|(index, seed)| (seed.weight(id), index)).collect();
    let heavier = |a: &(u64, usize), b: &(u64, usize)| b.cmp(a);
    if weights.len() > count && count > 0 {
        weights.select_nth_unstable_by(count - 1, heavier);
    }
    weights.truncate(count);
    weights.sort_unstable_by(heavier);
    weights.into_iter().map(|(_, index)| index).collect()
}

fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

/// The finalizer of SplitMix64: every bit of the input flips every bit of the output half of the time.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seeds(count: usize) -> Vec<Seed> {
        (0..count).map(|node| Seed::of(&format!("node-{node}:11211"))).collect()
    }

    fn ids(count: u32) -> impl Iterator<Item = ChunkId> {
        (0..count).map(|number| ChunkId::of(&number.to_le_bytes()))
    }

    #[test]
    fn weights_are_the_same_on_every_host() {
        let id = ChunkId::of(b"frazil");
        assert_eq!(Seed::of("node-0:11211").weight(&id), PINNED);
    }

    /// Another value here is another placement: every fleet would start cold.
    const PINNED: u64 = 10_180_643_694_071_435_486;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn stripes_spread_evenly(nodes in 5usize..40, salt in any::<u64>()) {
            let seeds: Vec<_> = (0..nodes).map(|node| Seed::of(&format!("{salt}-{node}:11211"))).collect();
            let mut held = vec![0u32; nodes];
            let chunks = 20_000;
            for id in ids(chunks) {
                heaviest(seeds.iter().copied(), &id, 5).into_iter().for_each(|node| held[node] += 1);
            }
            let mean = f64::from(chunks * 5) / nodes as f64;
            let max = f64::from(*held.iter().max().unwrap());
            let min = f64::from(*held.iter().min().unwrap());
            prop_assert!(max / mean < 1.1 && min / mean > 0.9, "max/mean {}, min/mean {}", max / mean, min / mean);
        }
    }

    #[test]
    fn a_node_that_joins_or_leaves_moves_nothing_between_the_others() {
        let all = seeds(9);
        for id in ids(2000) {
            let order = heaviest(all.iter().copied(), &id, 9);
            for gone in 0..9 {
                let rest: Vec<_> = (0..9).filter(|&node| node != gone).collect();
                let without: Vec<_> = heaviest(rest.iter().map(|&node| all[node]), &id, 8)
                    .into_iter()
                    .map(|node| rest[node])
                    .collect();
                let expected: Vec<_> = order.iter().copied().filter(|&node| node != gone).collect();
                assert_eq!(without, expected);
            }
        }
    }

    #[test]
    fn fewer_nodes_than_wanted_are_all_of_them_once() {
        for count in 0..5 {
            let mut order = heaviest(seeds(count).into_iter(), &ChunkId::of(b"x"), 7);
            order.sort_unstable();
            assert_eq!(order, (0..count).collect::<Vec<_>>());
        }
    }
}
