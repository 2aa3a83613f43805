//! What is fetched ahead: behind every reader, within its bounds, and no reader's trouble.

use std::collections::HashSet;
use std::time::Duration;

use frazil_mount::{ImageOptions, PrefetchCounts, Source, Supplied};
use proptest::prelude::*;

use crate::support::one_file::{PATIENCE, no_guesses, no_read_ahead, scene};
use crate::support::patient::Treatment;
use crate::support::sample::CHUNK_LEN;
use crate::support::tier::Fault;

#[test]
fn what_was_prefetched_is_read_without_asking_again_and_counts_as_used() {
    let scene = scene(10, Treatment::Answered, no_read_ahead());
    scene.prefetch_all_of(0..8, Source::Profile);
    let asked = scene.tier.asked().len();
    assert_eq!(asked, 8);
    assert_eq!(scene.patient.prefetched(), scene.tier.asked(), "all of them at prefetch priority");
    assert_eq!(scene.image.counters().chunks_touched, 0, "nobody has read anything yet");
    for n in 0..6 {
        scene.read(n, CHUNK_LEN);
    }
    assert_eq!(scene.tier.asked().len(), asked);
    let PrefetchCounts { fetched_chunks, used_chunks, used_bytes, evicted_chunks, .. } =
        scene.image.prefetch_counts(Source::Profile);
    assert_eq!((fetched_chunks, used_chunks, evicted_chunks), (8, 6, 0));
    assert!(used_bytes > 6 * CHUNK_LEN as u64);
    let unused = scene.image.prefetch_counts(Source::Profile).unused_bytes();
    assert!(unused > 2 * CHUNK_LEN as u64 && unused < 3 * CHUNK_LEN as u64);
}

#[test]
fn a_reader_overtakes_prefetches_that_wait_and_takes_along_the_one_that_it_needs() {
    let scene = scene(40, Treatment::Held, no_read_ahead());
    let handle = scene.image.prefetch(scene.indexes(0..30), Source::Profile);
    scene.wait_until("nothing is prefetched", || scene.patient.prefetched().len() >= 4);
    // The window is full of fetches that nobody answers; one that a reader wants goes past them,
    scene.read(35, CHUNK_LEN);
    // and one that is among them is answered as soon as a reader waits for it, without being asked again.
    let among = scene.image.place_of(scene.index(1)).unwrap().id;
    scene.read(1, CHUNK_LEN);
    assert_eq!(scene.tier.asked().iter().filter(|id| **id == among).count(), 1);
    assert_eq!(scene.patient.prefetched().iter().filter(|id| **id == among).count(), 1);
    drop(handle);
}

#[test]
fn prefetches_that_always_fail_fail_no_reader_and_stop_asking() {
    let scene = scene(200, Treatment::Failed, ImageOptions::default());
    let handle = scene.image.prefetch(scene.indexes(0..200), Source::Profile);
    for n in 0..200 {
        scene.read(n, CHUNK_LEN);
    }
    assert!(scene.patient.prefetched().len() < 50, "{} asked in vain", scene.patient.prefetched().len());
    assert_eq!(scene.image.prefetch_counts(Source::Profile).fetched_chunks, 0);
    drop(handle);
}

#[test]
fn what_waits_for_readers_stays_within_its_budget_and_goes_on_when_it_is_read() {
    // No memory to open anything ahead of its reader in.
    let decoded_budget_bytes = CHUNK_LEN as u64;
    let sealed_budget_bytes = 10 * (CHUNK_LEN as u64 + 1024);
    let options = ImageOptions { decoded_budget_bytes, sealed_budget_bytes, ..no_read_ahead() };
    let scene = scene(30, Treatment::Answered, options);
    let handle = scene.image.prefetch(scene.indexes(0..30), Source::Profile);
    scene.wait_until("nothing comes", || handle.counts().fetched_chunks == 10);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(handle.counts().fetched_chunks, 10);
    for n in 0..30 {
        scene.read(n, CHUNK_LEN);
    }
    assert_eq!(scene.tier.asked().len(), 30, "none was fetched twice");
    assert_eq!(scene.image.prefetch_counts(Source::Profile).evicted_chunks, 0);
}

#[test]
fn a_prefetch_whose_handle_is_dropped_ends_and_one_that_is_detached_does_not() {
    let scene = scene(40, Treatment::Held, no_read_ahead());
    let handle = scene.image.prefetch(scene.indexes(0..20), Source::Profile);
    scene.wait_until("nothing is prefetched", || scene.patient.prefetched().len() == 4);
    drop(handle);
    scene.patient.treat(Treatment::Answered);
    for n in 0..4 {
        scene.read(n, 10);
    }
    scene.image.prefetch(scene.indexes(30..40), Source::Profile).detach();
    scene.wait_until("a detached one ends", || {
        scene.image.prefetch_counts(Source::Profile).fetched_chunks == 14
    });
    let not_asked = scene.image.place_of(scene.index(15)).unwrap().id;
    assert!(!scene.tier.asked().contains(&not_asked));
}

#[test]
fn what_is_thrown_away_before_anybody_reads_it_is_counted() {
    let options = ImageOptions {
        decoded_budget_bytes: 4 * CHUNK_LEN as u64,
        sealed_budget_bytes: 4 * CHUNK_LEN as u64,
        ..no_read_ahead()
    };
    let scene = scene(40, Treatment::Answered, options);
    scene.prefetch_all_of(0..20, Source::ReadAhead);
    let counts = scene.image.prefetch_counts(Source::ReadAhead);
    assert_eq!((counts.fetched_chunks, counts.used_chunks, counts.evicted_chunks), (20, 0, 16));
}

#[test]
fn supplied_chunks_are_read_as_if_they_had_been_prefetched_and_a_wrong_one_is_fetched() {
    let scene = scene(6, Treatment::Answered, no_read_ahead());
    let supply = |n: usize, of: usize| scene.image.supply(scene.index(n), scene.sealed(of), Source::Profile);
    assert_eq!(supply(0, 0), Supplied::Kept);
    assert_eq!(supply(0, 0), Supplied::NoUse, "it is there");
    assert_eq!(supply(1, 2), Supplied::Kept, "as long as the right one, and verified, but another");
    scene.read(0, CHUNK_LEN);
    assert_eq!(scene.tier.asked().len(), 0);
    scene.read(1, CHUNK_LEN);
    assert_eq!(scene.tier.asked().len(), 1);
    assert_eq!(supply(0, 0), Supplied::NoUse, "it was read");
}

#[test]
fn an_image_that_rests_keeps_nothing_that_was_read_and_goes_on_when_it_is_read_again() {
    let scene = scene(6, Treatment::Answered, no_read_ahead());
    scene.read(0, CHUNK_LEN / 2);
    scene.read(0, CHUNK_LEN / 2);
    assert_eq!(scene.tier.asked().len(), 1);
    scene.image.rest();
    scene.read(0, CHUNK_LEN / 2);
    assert_eq!(scene.tier.asked().len(), 2, "nothing of it was kept");
    assert_eq!(scene.image.counters().errors, 0);
}

#[test]
fn an_image_that_gives_up_waiting_keeps_nothing_ahead_of_readers_but_the_metadata() {
    let scene = scene(8, Treatment::Answered, no_read_ahead());
    scene.prefetch_all_of(0..2, Source::Metadata);
    scene.prefetch_all_of(2..8, Source::Profile);
    scene.image.rest();
    scene.image.give_up_waiting();
    assert_eq!(scene.image.prefetch_counts(Source::Profile).evicted_chunks, 6);
    let asked = scene.tier.asked().len();
    (0..8).for_each(|n| scene.read(n, CHUNK_LEN));
    assert!(scene.tier.asked().len() >= asked + 6, "all that was foretold is fetched when it is read");
    assert_eq!(scene.image.counters().errors, 0);
}

#[test]
fn a_supply_that_does_not_fit_waits_for_room() {
    let options = ImageOptions { sealed_budget_bytes: 2 * (CHUNK_LEN as u64 + 1024), ..no_read_ahead() };
    let scene = scene(6, Treatment::Answered, options);
    let supply = |n: usize| scene.image.supply(scene.index(n), scene.sealed(n), Source::Profile);
    assert_eq!((supply(0), supply(1), supply(2)), (Supplied::Kept, Supplied::Kept, Supplied::Full));
    scene.read(0, CHUNK_LEN);
    assert!(scene.runtime.block_on(scene.image.room_ahead(CHUNK_LEN as u64)));
    assert_eq!(supply(2), Supplied::Kept);
}

#[test]
fn what_waits_for_its_reader_is_opened_ahead_within_half_of_the_memory_for_that() {
    let options = ImageOptions { decoded_budget_bytes: 4 * CHUNK_LEN as u64, ..no_read_ahead() };
    let scene = scene(8, Treatment::Answered, options);
    for n in 0..6 {
        assert_eq!(scene.image.supply(scene.index(n), scene.sealed(n), Source::Profile), Supplied::Kept);
    }
    let opened = || scene.image.counters().decoded_bytes / CHUNK_LEN as u64;
    scene.wait_until("two chunks are opened before anybody reads", || opened() == 2);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(opened(), 2, "no more than that");
    scene.read(0, CHUNK_LEN);
    scene.wait_until("the next one is opened when the first is read", || opened() == 3);
    (1..6).for_each(|n| scene.read(n, CHUNK_LEN));
    assert_eq!((opened(), scene.tier.asked().len()), (6, 0), "each once, and nothing was fetched");
}

#[test]
fn a_file_that_is_read_front_to_back_is_fetched_ahead_and_at_most_half_of_it_in_vain() {
    for chunks in [1, 2, 3, 5, 10, 30, 100] {
        let scene = scene(200, Treatment::Answered, no_guesses());
        for n in 0..chunks {
            scene.read(n, CHUNK_LEN);
            // A program that does nothing with what it reads is quicker than any prefetch from memory.
            std::thread::sleep(Duration::from_millis(1));
        }
        scene.runtime.block_on(scene.image.stop_prefetching(PATIENCE));
        let asked = scene.tier.asked();
        let different: HashSet<_> = asked.iter().collect();
        assert_eq!(different.len(), asked.len(), "a chunk was fetched twice");
        assert!(asked.len() <= chunks + chunks / 2, "{} chunks fetched for {chunks}", asked.len());
        if chunks >= 30 {
            assert!(scene.patient.prefetched().len() * 2 > chunks, "little was fetched ahead");
        }
    }
}

#[test]
fn nothing_is_fetched_ahead_of_chunks_that_were_foretold() {
    let scene = scene(100, Treatment::Answered, no_guesses());
    scene.image.foretell(scene.indexes(0..30));
    (0..30).for_each(|n| scene.read(n, CHUNK_LEN));
    assert!(scene.patient.prefetched().is_empty());
    (30..60).for_each(|n| scene.read(n, CHUNK_LEN));
    scene.wait_until("what follows them is fetched ahead", || !scene.patient.prefetched().is_empty());
}

#[test]
fn chunks_touched_here_and_there_are_not_fetched_ahead_of() {
    let scene = scene(100, Treatment::Answered, no_guesses());
    for n in 0..30 {
        scene.read((n * 37) % 100, 4096);
    }
    scene.runtime.block_on(scene.image.stop_prefetching(PATIENCE));
    assert_eq!(scene.tier.asked().len(), 30);
}

#[test]
fn chunks_that_several_programs_read_in_parts_are_fetched_once_though_little_fits() {
    let options = ImageOptions {
        decoded_budget_bytes: 8 * CHUNK_LEN as u64,
        sealed_budget_bytes: 70 * CHUNK_LEN as u64,
        ..no_read_ahead()
    };
    let scene = scene(60, Treatment::Answered, options);
    for part in 0..4 {
        for n in 0..60 {
            let offset = scene.offset(n) + (part * CHUNK_LEN / 4) as u64;
            let read = scene.runtime.block_on(scene.image.read(offset, CHUNK_LEN / 4)).unwrap();
            assert!(read == scene.built.plain[offset as usize..][..CHUNK_LEN / 4]);
        }
    }
    assert_eq!(scene.tier.asked().len(), 60);
}

#[derive(Clone, Debug)]
enum Deed {
    Read { offset: usize, len: usize },
    Prefetch { chunks: std::ops::Range<usize>, source: Source },
    Supply { chunk: usize, of: usize },
    Break { chunk: usize },
    Heal,
}

fn deed() -> impl Strategy<Value = Deed> {
    let source = prop_oneof![
        Just(Source::ReadAhead),
        Just(Source::Metadata),
        Just(Source::Profile),
        Just(Source::Hydrate)
    ];
    prop_oneof![
        6 => (0..24 * CHUNK_LEN, 1..3 * CHUNK_LEN).prop_map(|(offset, len)| Deed::Read { offset, len }),
        3 => (0..24_usize, 1..10_usize, source)
            .prop_map(|(from, count, source)| Deed::Prefetch { chunks: from..(from + count).min(24), source }),
        1 => (0..24_usize, 0..24_usize).prop_map(|(chunk, of)| Deed::Supply { chunk, of }),
        1 => (0..24_usize).prop_map(|chunk| Deed::Break { chunk }),
        1 => Just(Deed::Heal),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_prefetched_supplied_evicted_or_broken_a_read_gives_the_right_bytes_or_its_own_error(
        deeds in proptest::collection::vec(deed(), 1..60),
    ) {
        let options = ImageOptions {
            decoded_budget_bytes: 3 * CHUNK_LEN as u64,
            sealed_budget_bytes: 5 * CHUNK_LEN as u64,
            ..ImageOptions::default()
        };
        let scene = scene(24, Treatment::FailedAtTimes, options);
        let start = scene.offset(0) as usize;
        let mut broken = HashSet::new();
        for deed in deeds {
            match deed {
                Deed::Read { offset, len } => {
                    let at = start + offset;
                    let read = scene.runtime.block_on(scene.image.read(at as u64, len));
                    let expected = &scene.built.plain[at..scene.built.plain.len().min(at + len)];
                    match read {
                        Ok(bytes) => prop_assert!(bytes == expected),
                        Err(error) => {
                            let (id, _) = error.chunk().unwrap();
                            prop_assert!(broken.contains(&id), "{error} failed for nothing");
                        }
                    }
                }
                Deed::Prefetch { chunks, source } => scene.image.prefetch(scene.indexes(chunks), source).detach(),
                Deed::Supply { chunk, of } => {
                    scene.image.supply(scene.index(chunk), scene.sealed(of), Source::Profile);
                }
                Deed::Break { chunk } => {
                    let id = scene.image.place_of(scene.index(chunk)).unwrap().id;
                    broken.insert(id);
                    scene.tier.break_chunk(id, Fault::Corrupt);
                }
                Deed::Heal => {
                    scene.tier.heal();
                    broken.clear();
                }
            }
        }
    }
}
