//! The reader alone, and many programs reading at once.

use std::fs;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use frazil_mount::ImageOptions;

use crate::support::mounts::{FACES, TestMount, open, runtime};
use crate::support::sample::{CHUNK_LEN, Sample, everything, file, noise};
use crate::support::tier::{Fault, TestTier};

#[test]
fn any_range_of_an_image_reads_as_its_plain_bytes() {
    let runtime = runtime();
    let built = everything().build();
    let image = open(&built, &TestTier::of(&built), &runtime, ImageOptions::default());
    let len = built.plain.len();
    let mut seed = 1_u64;
    for _ in 0..500 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let offset = (seed >> 33) as usize % (len + 10_000);
        let wanted = (seed >> 7) as usize % (4 * CHUNK_LEN);
        let expected = built.plain.get(offset..len.min(offset + wanted)).unwrap_or_default();
        let read = runtime.block_on(image.read(offset as u64, wanted)).unwrap();
        assert!(read == *expected, "{wanted} bytes at {offset}");
        let again = image.try_with(offset as u64, wanted, |bytes| bytes == expected);
        assert_eq!(again, Some(true), "at hand: {wanted} bytes at {offset}");
    }
    assert!(image.read_is_empty_past_the_end(&runtime));
}

trait PastTheEnd {
    fn read_is_empty_past_the_end(&self, runtime: &tokio::runtime::Runtime) -> bool;
}

impl PastTheEnd for Arc<frazil_mount::Image> {
    fn read_is_empty_past_the_end(&self, runtime: &tokio::runtime::Runtime) -> bool {
        [self.len(), u64::MAX]
            .into_iter()
            .all(|offset| runtime.block_on(self.read(offset, 10)).unwrap().is_empty())
    }
}

#[test]
fn a_hundred_readers_of_one_chunk_fetch_it_once() {
    let runtime = runtime();
    let built = Sample::new().with("file", file(noise(1, 10 * CHUNK_LEN))).build();
    let tier = TestTier::of(&built);
    let image = open(&built, &tier, &runtime, ImageOptions::default());
    let offset = built.data_at[b"file".as_slice()];
    runtime.block_on(async {
        let readers = (0..100).map(|_| {
            let image = Arc::clone(&image);
            tokio::spawn(async move { image.read(offset, 10 * CHUNK_LEN).await.unwrap() })
        });
        for read in futures::future::join_all(readers).await {
            assert!(read.unwrap() == built.plain[offset as usize..]);
        }
    });
    assert_eq!(tier.asked().len(), 10);
    let counters = image.counters();
    assert_eq!((counters.requests, counters.chunks_touched, counters.errors), (10, 10, 0));
    assert_eq!(counters.decoded_bytes, 10 * CHUNK_LEN as u64);
}

#[test]
fn a_hundred_readers_of_a_bad_chunk_all_fail_after_one_fetch() {
    let runtime = runtime();
    let built = Sample::new().with("file", file(noise(1, 100))).build();
    let tier = TestTier::of(&built);
    let chunk = built.chunk_of("file");
    tier.break_chunk(chunk.id, Fault::Stuck);
    let deadline = std::time::Duration::from_millis(300);
    let options = ImageOptions { deadline, ..ImageOptions::default() };
    let image = open(&built, &tier, &runtime, options);
    runtime.block_on(async {
        let readers = (0..100).map(|_| {
            let image = Arc::clone(&image);
            tokio::spawn(async move { image.read(chunk.offset, 100).await })
        });
        for read in futures::future::join_all(readers).await {
            let error = read.unwrap().unwrap_err();
            assert_eq!(error.errno(), libc::EIO);
            assert_eq!(error.chunk(), Some((chunk.id, chunk.offset)));
        }
    });
    assert_eq!(tier.asked().len(), 1);
    tier.heal();
    let healed = runtime.block_on(image.read(chunk.offset, 100)).unwrap();
    assert!(healed == built.plain[chunk.offset as usize..][..100]);
}

#[test]
fn a_small_budget_is_kept_and_still_reads_everything() {
    let runtime = runtime();
    let built = Sample::new().with("file", file(noise(1, 40 * CHUNK_LEN))).build();
    let options = ImageOptions { decoded_budget_bytes: 3 * CHUNK_LEN as u64, ..ImageOptions::default() };
    let image = open(&built, &TestTier::of(&built), &runtime, options);
    let read = runtime.block_on(image.read(0, built.plain.len())).unwrap();
    assert!(read == built.plain);
    let at_hand = (0..40).filter(|n| {
        let offset = built.data_at[b"file".as_slice()] + (n * CHUNK_LEN) as u64;
        image.try_with(offset, 1, |_| ()).is_some()
    });
    assert!(at_hand.count() <= 3);
}

#[test]
fn programs_that_read_at_random_all_at_once_see_the_right_bytes_through_both_faces() {
    let sample =
        (0..16).fold(Sample::new(), |sample, n| sample.with(&format!("file{n}"), file(noise(n, 700_000))));
    for face in FACES {
        let options = ImageOptions { decoded_budget_bytes: 1 << 20, ..ImageOptions::default() };
        let mount = TestMount::with(&sample, face, options);
        std::thread::scope(|scope| {
            for reader in 0..8_u64 {
                let (mount, sample) = (&mount, &sample);
                scope.spawn(move || {
                    let mut seed = reader + 1;
                    for _ in 0..300 {
                        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                        let name = format!("file{}", (seed >> 40) % 16);
                        let content = sample.content(name.as_bytes()).unwrap();
                        let offset = (seed >> 20) as usize % content.len();
                        let mut bytes = vec![0; 20_000];
                        let opened = fs::File::open(mount.path(&name)).unwrap();
                        let read = opened.read_at(&mut bytes, offset as u64).unwrap();
                        assert!(
                            content[offset..].starts_with(&bytes[..read]) && read > 0,
                            "{name} at {offset}"
                        );
                    }
                });
            }
        });
    }
}
