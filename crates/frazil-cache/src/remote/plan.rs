//! Which shards to write where, once it is known what the fleet has of a chunk.
//!
//! The invariant: nothing is written over the one right copy of a shard, or where one may be; and nothing at all
//! if the fleet could not have four shards afterwards. A shard goes to the home of its own number if it can, so that
//! hosts that fill at once write the same bytes under the same keys.

use super::shard::{DATA_SHARDS, SHARDS};

/// What a position has, as far as is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holding {
    /// This shard, and it is right.
    Shard(usize),
    /// No shard, or none that is right.
    Nothing,
    /// Nobody knows.
    Unknown,
}

/// One position of a chunk, homes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Site {
    pub(super) holds: Holding,
    /// Whether its node takes fills.
    pub(super) takes_fills: bool,
}

/// A shard to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Put {
    /// The number of the position.
    pub(super) at: usize,
    /// The index of the shard.
    pub(super) index: usize,
}

/// What to write. Empty if nothing is missing; `None` if it would be in vain.
pub(super) fn plan(sites: &[Site]) -> Option<Vec<Put>> {
    let sites = &without_copies(sites);
    let held: Vec<usize> = (0..SHARDS).filter(|&index| is_held(sites, index)).collect();
    let (homes, spares) = sites.split_at(SHARDS.min(sites.len()));
    let is_vacant = |site: &Site| site.holds == Holding::Nothing;
    let taken = |(at, site): (usize, &Site)| (is_vacant(site) && site.takes_fills).then_some(at);
    let mut targets: Vec<usize> = homes.iter().enumerate().filter_map(taken).collect();
    let passed_over = homes.iter().filter(|site| is_vacant(site) && !site.takes_fills).count();
    targets.extend((SHARDS..).zip(spares).filter_map(taken).take(passed_over));
    let unknown = homes.iter().filter(|site| site.holds == Holding::Unknown).count();
    if held.len() + targets.len() + unknown < DATA_SHARDS {
        return None;
    }
    Some(assign(sites, &targets, &held))
}

/// A home that has the shard of one before it might as well have none. That happens when nodes come and go.
fn without_copies(sites: &[Site]) -> Vec<Site> {
    let mut sites = sites.to_vec();
    for at in 1..SHARDS.min(sites.len()) {
        let (before, from) = sites.split_at_mut(at);
        if let Some(Site { holds: holds @ Holding::Shard(_), .. }) = from.first_mut()
            && before.iter().any(|site| site.holds == *holds)
        {
            *holds = Holding::Nothing;
        }
    }
    sites
}

fn is_held(sites: &[Site], index: usize) -> bool {
    sites.iter().any(|site| site.holds == Holding::Shard(index))
}

fn assign(sites: &[Site], targets: &[usize], held: &[usize]) -> Vec<Put> {
    let is_missing = |index: &usize| !held.contains(index);
    let (mut puts, mut others) = (Vec::new(), Vec::new());
    for &at in targets {
        if at < SHARDS && is_missing(&at) { puts.push(Put { at, index: at }) } else { others.push(at) }
    }
    let mut left: Vec<usize> =
        (0..SHARDS).filter(is_missing).filter(|index| puts.iter().all(|put| put.index != *index)).collect();
    // What an unknown home may have comes last.
    left.sort_by_key(|&index| sites.get(index).is_some_and(|home| home.holds == Holding::Unknown));
    puts.extend(others.into_iter().zip(left).map(|(at, index)| Put { at, index }));
    puts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(text: &str) -> Vec<Site> {
        let site = |letter: char| match letter {
            '-' => Site { holds: Holding::Nothing, takes_fills: true },
            'x' => Site { holds: Holding::Nothing, takes_fills: false },
            '?' => Site { holds: Holding::Unknown, takes_fills: true },
            digit => Site { holds: Holding::Shard(digit as usize - '0' as usize), takes_fills: true },
        };
        text.chars().map(site).collect()
    }

    /// What every position has after the plan.
    fn planned(text: &str) -> Option<String> {
        let mut after: Vec<char> = text.chars().collect();
        for put in plan(&sites(text))? {
            let is_copy = after.iter().filter(|letter| **letter == after[put.at]).count() > 1;
            assert!(after[put.at] == '-' || is_copy, "{text}: {put:?} is written over something");
            after[put.at] = char::from(b'0' + put.index as u8);
        }
        Some(after.into_iter().collect())
    }

    #[test]
    fn what_is_missing_is_written_where_nothing_is() {
        for (before, after) in [
            ("-----", "01234"),
            ("01234", "01234"),
            ("01234--", "01234--"),
            ("-----xx", "01234xx"),
            ("0123-", "01234"),
            ("-1234", "01234"),
            // A node left, another moved up: it takes what went with the first.
            ("0124-", "01243"),
            // One is down or busy: a spare has its shard, or nobody has.
            ("0x234--", "0x2341-"),
            ("x----", "x1234"),
            ("x-x----", "x1x3402"),
            // Two positions have the same shard.
            ("00123--", "04123--"),
            // A late home may have its shard.
            ("???--", "???34"),
            ("????-", "????4"),
            ("?124-", "?1243"),
        ] {
            assert_eq!(planned(before).as_deref(), Some(after), "{before}");
        }
    }

    #[test]
    fn less_than_four_shards_are_written_for_nobody() {
        for before in ["", "xx---", "0xx--", "?xx--", "xxx---x", "xxxxx--"] {
            assert_eq!(planned(before), None, "{before}");
        }
    }
}
