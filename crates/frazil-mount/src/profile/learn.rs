//! What a start teaches: the order of first touches, which chunks are worth having ahead, and whether any are.
//!
//! Pure, so that every rule can be tried without a mount. A chunk is foretold if it was touched in at least half of
//! the starts since it was first seen, of the last sixteen. One that was not touched in `FORGOTTEN_AFTER` starts
//! is forgotten. A profile whose forecasts were wrong by more than half of their bytes, smoothed over a few starts,
//! is off: it goes on learning and is not played until its forecasts are right again.

use std::collections::HashMap;

use frazil_format::bounds::MAX_PROFILE_CHUNKS;
use frazil_format::{Chunk, Label, Profile, ProfiledChunk};

/// A share of one, in thousandths.
const WHOLE: u64 = 1000;

/// Below this share of used bytes a profile is not played.
const WORTHWHILE: u16 = 500;

/// A chunk that was not touched in this many starts in a row is forgotten.
const FORGOTTEN_AFTER: u32 = 4;

/// In a value that is smoothed over the starts, the old one counts for this many parts and the new one for
/// one.
const INERTIA: u64 = 3;

/// Positions are in sixteenths of a place.
const PLACE: u32 = 16;

/// Every start teaches until there were this many; after that, only those that surprise, and one in
/// [`SAMPLED`].
const NOVICE_STARTS: u32 = 4;
const SAMPLED: u32 = 8;

/// Less than this part of the bytes, in thousandths, is no surprise.
const SURPRISE: u64 = 20;

/// Whether a profile's forecasts are good enough to be played.
pub fn is_worth_playing(profile: &Profile) -> bool {
    profile.precision >= WORTHWHILE
}

/// The chunks that the next start will touch, in the order in which it will.
pub(super) fn foretold(profile: &Profile) -> Vec<u32> {
    profile.chunks.iter().filter(|chunk| chunk.is_likely()).map(|chunk| chunk.chunk).collect()
}

/// The sealed bytes of these chunks.
pub(super) fn sealed_len(chunks: impl IntoIterator<Item = u32>, table: &[Chunk]) -> u64 {
    let len = |index: u32| table.get(index as usize).map_or(0, |chunk| u64::from(chunk.sealed_len));
    chunks.into_iter().map(len).sum()
}

/// What the profile of a command becomes after a start that touched these chunks in this order.
pub(super) fn learn(
    known: Option<Profile>,
    label: &Label,
    touched: &[u32],
    table: &[Chunk],
    now_seconds: u64,
) -> Profile {
    let mut profile = known.unwrap_or_else(|| new(label));
    let place_of: HashMap<u32, u32> = touched.iter().copied().zip((0..).step_by(PLACE as usize)).collect();
    profile.precision = precision(&profile, &place_of, table);
    for chunk in &mut profile.chunks {
        let place = place_of.get(&chunk.chunk);
        chunk.history = chunk.history << 1 | u16::from(place.is_some());
        if let Some(place) = place {
            chunk.position = smoothed(chunk.position, *place);
        }
    }
    profile.chunks.retain(|chunk| chunk.history.trailing_zeros() < FORGOTTEN_AFTER);
    let mut known: std::collections::HashSet<u32> = profile.chunks.iter().map(|chunk| chunk.chunk).collect();
    let news = touched.iter().filter(|&&chunk| (chunk as usize) < table.len() && known.insert(chunk));
    let news = news.filter_map(|chunk| Some((*chunk, *place_of.get(chunk)?)));
    profile.chunks.extend(news.map(|(chunk, position)| ProfiledChunk { chunk, position, history: 1 }));
    bound(&mut profile.chunks);
    profile.starts = profile.starts.saturating_add(1);
    profile.recorded_seconds = now_seconds;
    profile
}

/// Whether what a start touched is worth writing down. `dice` is any number.
pub(super) fn is_worth_learning(
    known: Option<&Profile>,
    touched: &[u32],
    table: &[Chunk],
    dice: u32,
) -> bool {
    let Some(profile) = known else { return !touched.is_empty() };
    if profile.starts < NOVICE_STARTS || dice.is_multiple_of(SAMPLED) {
        return true;
    }
    let foretold: std::collections::HashSet<u32> = foretold(profile).into_iter().collect();
    let touched: std::collections::HashSet<u32> = touched.iter().copied().collect();
    let wrong = sealed_len(foretold.symmetric_difference(&touched).copied(), table);
    wrong * WHOLE > sealed_len(foretold.union(&touched).copied(), table) * SURPRISE
}

fn new(label: &Label) -> Profile {
    Profile {
        label: label.clone(),
        starts: 0,
        precision: WHOLE as u16,
        recorded_seconds: 0,
        chunks: Vec::new(),
        bundle: None,
    }
}

/// How right the forecast was, smoothed.
fn precision(profile: &Profile, touched: &HashMap<u32, u32>, table: &[Chunk]) -> u16 {
    let foretold = foretold(profile);
    let all = sealed_len(foretold.iter().copied(), table);
    if all == 0 {
        return profile.precision;
    }
    let used = sealed_len(foretold.into_iter().filter(|chunk| touched.contains_key(chunk)), table);
    let now = used * WHOLE / all;
    ((u64::from(profile.precision) * INERTIA + now) / (INERTIA + 1)).min(WHOLE) as u16
}

fn smoothed(old: u32, new: u32) -> u32 {
    ((u64::from(old) * INERTIA + u64::from(new)) / (INERTIA + 1)) as u32
}

/// Puts chunks in order, and lets the last ones go if they are too many.
fn bound(chunks: &mut Vec<ProfiledChunk>) {
    chunks.sort_by_key(|chunk| (chunk.position, chunk.chunk));
    chunks.truncate(MAX_PROFILE_CHUNKS as usize);
}

#[cfg(test)]
mod tests {
    use frazil_format::ChunkId;

    use super::*;

    fn table(chunks: u32) -> Vec<Chunk> {
        let chunk = |index: u32| Chunk {
            offset: u64::from(index) * 1000,
            len: 1000,
            sealed_len: 1017,
            id: ChunkId::of(&index.to_le_bytes()),
        };
        (0..chunks).map(chunk).collect()
    }

    fn after(starts: &[&[u32]]) -> Profile {
        let label = Label::command(&["server"]);
        let learnt =
            starts.iter().fold(None, |known, touched| Some(learn(known, &label, touched, &table(100), 7)));
        learnt.unwrap()
    }

    #[test]
    fn the_first_start_foretells_the_second() {
        assert_eq!(foretold(&after(&[&[5, 3, 9]])), [5, 3, 9]);
    }

    #[test]
    fn the_order_is_that_of_most_starts() {
        let profile = after(&[&[1, 2, 3], &[1, 2, 3], &[3, 1, 2], &[1, 2, 3]]);
        assert_eq!(foretold(&profile), [1, 2, 3]);
    }

    #[test]
    fn what_only_one_start_touched_is_not_foretold_for_long_and_is_forgotten() {
        let profile = after(&[&[1, 2, 77], &[1, 2], &[1, 2]]);
        assert_eq!(foretold(&profile), [1, 2]);
        assert!(profile.chunks.iter().any(|chunk| chunk.chunk == 77), "it may come back");
        let profile = after(&[&[1, 2, 77], &[1, 2], &[1, 2], &[1, 2], &[1, 2]]);
        assert_eq!(profile.chunks.len(), 2);
    }

    #[test]
    fn what_every_second_start_touches_stays_foretold() {
        let profile = after(&[&[1, 50], &[1], &[1, 50], &[1], &[1, 50], &[1]]);
        assert_eq!(foretold(&profile), [1, 50]);
    }

    #[test]
    fn a_profile_that_is_wrong_turns_itself_off_and_on_again_when_it_is_right() {
        let starts: Vec<Vec<u32>> = (0..6).map(|start| (start * 10..start * 10 + 10).collect()).collect();
        let mut starts: Vec<&[u32]> = starts.iter().map(Vec::as_slice).collect();
        assert!(!is_worth_playing(&after(&starts)), "every start touches something else");
        starts.extend([[1, 2, 3].as_slice(); 6]);
        assert!(is_worth_playing(&after(&starts)), "every start touches the same");
    }

    #[test]
    fn a_start_that_ends_early_once_does_not_turn_a_profile_off() {
        let all: Vec<u32> = (0..50).collect();
        let profile = after(&[&all, &all, &[0, 1]]);
        assert!(is_worth_playing(&profile));
        assert_eq!(foretold(&profile).len(), 50);
    }

    #[test]
    fn a_start_without_surprises_is_written_down_now_and_then() {
        let all: Vec<u32> = (0..50).collect();
        let profile = after(&[all.as_slice(); 5]);
        let learns = |touched: &[u32], dice| is_worth_learning(Some(&profile), touched, &table(100), dice);
        assert!(!learns(&all, 1) && learns(&all, 8));
        assert!(learns(&all[..40], 1), "a fifth of it was not used");
        assert!(is_worth_learning(Some(&after(&[&all])), &all, &table(100), 1), "it has seen one start");
        assert!(!is_worth_learning(None, &[], &table(100), 1), "nothing was touched");
    }

    #[test]
    fn numbers_that_are_no_chunk_and_too_many_chunks_are_left_out() {
        let touched: Vec<u32> = (0..MAX_PROFILE_CHUNKS as u32 + 10).collect();
        let label = Label::mount("");
        assert_eq!(learn(None, &label, &touched, &table(100), 7).chunks.len(), 100);
        let many = table(touched.len() as u32);
        assert_eq!(learn(None, &label, &touched, &many, 7).chunks.len() as u64, MAX_PROFILE_CHUNKS);
    }
}
