//! What lies beside a chunk that had to be fetched: fetched along with it, as long as guesses are good.

use std::collections::HashSet;
use std::time::Duration;

use frazil_mount::{ImageOptions, Source};

use crate::support::one_file::{PATIENCE, Scene, scene};
use crate::support::patient::Treatment;
use crate::support::sample::CHUNK_LEN;

fn guessing() -> ImageOptions {
    ImageOptions { guess_from: FAR / 2, sealed_budget_bytes: 1 << 30, ..ImageOptions::default() }
}

/// Chunks take this long: what a busy machine adds does not make the wire look full.
const FAR: Duration = Duration::from_millis(10);

/// A scene in which a chunk has come already, from the file's end: before that nobody knows how far away chunks are.
fn far_away(chunks: usize, options: ImageOptions) -> Scene {
    let scene = scene(chunks, Treatment::Answered, options);
    scene.patient.answer_after(FAR);
    scene.read(chunks - 1, CHUNK_LEN);
    scene
}

#[test]
fn what_lies_beside_a_chunk_that_had_to_be_fetched_comes_with_it_and_is_read_without_asking() {
    let scene = far_away(100, guessing());
    let counts = || scene.image.prefetch_counts(Source::Neighbour);
    scene.read(50, 4096);
    scene.wait_until("the next one comes too", || counts().fetched_chunks == 1);
    assert_eq!(scene.patient.prefetched(), [scene.id(51)]);
    scene.read(64, 4096);
    scene.wait_until("and of this one", || counts().fetched_chunks == 2);
    scene.read(57, 4096);
    scene.wait_until("where two were read around it, two before and six behind", || {
        counts().fetched_chunks == 10
    });
    let around = [55, 56, 58, 59, 60, 61, 62, 63].map(|n| scene.id(n));
    assert!(around.iter().all(|id| scene.patient.prefetched().contains(id)));
    let before = scene.tier.asked().len();
    scene.read(62, CHUNK_LEN);
    assert_eq!(counts().used_chunks, 1);
    scene.wait_until("a good guess makes more: those behind it", || counts().fetched_chunks == 13);
    assert_eq!(scene.tier.asked().len(), before + 3, "what was read was there");
}

#[test]
fn programs_that_read_here_and_there_are_guessed_about_within_what_they_read() {
    let allowance = 1 << 20;
    let scene = far_away(600, guessing());
    for n in 0..100 {
        scene.read((n * 6 * 37) % 599, 4096);
    }
    scene.runtime.block_on(scene.image.stop_prefetching(PATIENCE));
    let asked = scene.tier.asked();
    let different: HashSet<_> = asked.iter().collect();
    assert_eq!(different.len(), asked.len(), "a chunk was fetched twice");
    let counters = scene.image.counters();
    let guessed = scene.image.prefetch_counts(Source::Neighbour).unused_bytes();
    let read = counters.sealed_bytes - guessed;
    assert!(guessed > 0, "nothing was guessed");
    assert!(guessed <= allowance + read, "{guessed} bytes in vain for {read}");
}

#[test]
fn nothing_is_guessed_where_chunks_come_at_once_or_were_foretold_or_without_read_ahead() {
    let never = ImageOptions { guess_from: Duration::MAX, ..guessing() };
    let no_read_ahead = ImageOptions { read_ahead_bytes: 0, ..guessing() };
    for options in [never, no_read_ahead] {
        let scene = far_away(100, options);
        (0..10).for_each(|n| scene.read(n * 9, 4096));
        assert!(scene.patient.prefetched().is_empty());
    }
    let scene = far_away(100, guessing());
    scene.image.foretell(scene.indexes(0..90));
    (0..10).for_each(|n| scene.read(n * 9, 4096));
    assert_eq!(scene.image.prefetch_counts(Source::Neighbour).fetched_chunks, 0);
}

#[test]
fn a_guess_takes_no_room_from_what_is_known_to_be_read() {
    let options = ImageOptions { sealed_budget_bytes: 8 * CHUNK_LEN as u64 + 4096, ..guessing() };
    let scene = far_away(100, options);
    [60, 40, 50].into_iter().for_each(|n| scene.read(n, 4096));
    let guesses = || scene.image.prefetch_counts(Source::Neighbour);
    scene.wait_until("neighbours come", || guesses().fetched_chunks >= 8);
    scene.prefetch_all_of(0..7, Source::Profile);
    assert_eq!(scene.image.prefetch_counts(Source::Profile).evicted_chunks, 0);
    assert!(guesses().evicted_chunks > 0, "the guesses had to go");
    let before = scene.tier.asked().len();
    (0..7).for_each(|n| scene.read(n, CHUNK_LEN));
    assert_eq!(scene.image.prefetch_counts(Source::Profile).used_chunks, 7);
    assert_eq!(scene.tier.asked().len(), before, "nothing of the profile was fetched again");
}
