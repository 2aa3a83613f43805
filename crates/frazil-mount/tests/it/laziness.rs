//! Only what is touched is fetched.

use std::collections::HashSet;
use std::fs;
use std::sync::{Arc, Mutex};

use frazil_mount::{ChunkIndex, ImageOptions, TouchListener};

use crate::support::mounts::{FACES, TestMount, open, runtime};
use crate::support::sample::{CHUNK_LEN, Sample, file, noise};
use crate::support::tier::TestTier;

fn thirty_files() -> Sample {
    (0..30)
        .fold(Sample::new(), |sample, n| sample.with(&format!("file{n:02}"), file(noise(n, 4 * CHUNK_LEN))))
}

#[test]
fn mounting_and_listing_fetch_metadata_and_not_one_byte_of_data() {
    for face in FACES {
        let mount = TestMount::new(&thirty_files(), face);
        assert_eq!(fs::read_dir(mount.dir.path()).unwrap().count(), 30);
        let metadata_len = mount.built.manifest.geometry.metadata_len;
        let metadata: HashSet<_> = mount
            .built
            .manifest
            .chunks
            .iter()
            .filter(|chunk| chunk.offset < metadata_len)
            .map(|chunk| chunk.id)
            .collect();
        assert!(mount.tier.asked().iter().all(|id| metadata.contains(id)), "through the {face} face");
    }
}

#[test]
fn reading_one_file_fetches_its_own_chunks_once_and_without_read_ahead_no_others() {
    for face in FACES {
        let options = ImageOptions { read_ahead_bytes: 0, ..ImageOptions::default() };
        let mount = TestMount::with(&thirty_files(), face, options);
        let before: HashSet<_> = mount.tier.asked().into_iter().collect();
        assert_eq!(fs::read(mount.path("file07")).unwrap(), noise(7, 4 * CHUNK_LEN));
        assert_eq!(fs::read(mount.path("file07")).unwrap(), noise(7, 4 * CHUNK_LEN));
        let fetched: Vec<_> = mount.tier.asked().into_iter().filter(|id| !before.contains(id)).collect();
        let start = mount.built.data_at[b"file07".as_slice()];
        let own: HashSet<_> =
            (0..4).map(|n| mount.built.chunk_at(start + (n * CHUNK_LEN) as u64).id).collect();
        assert_eq!(fetched.len(), 4, "through the {face} face");
        assert_eq!(fetched.into_iter().collect::<HashSet<_>>(), own);
        let counters = mount.image.counters();
        assert_eq!(counters.requests as usize, mount.tier.asked().len());
        assert_eq!(counters.chunks_total as usize, mount.built.manifest.chunks.len());
    }
}

#[test]
fn zeros_are_fetched_from_nowhere() {
    let sample = Sample::new().with("zeros", file(vec![0; 10 * CHUNK_LEN]));
    for face in FACES {
        let mount = TestMount::new(&sample, face);
        let before = mount.tier.asked().len();
        assert_eq!(fs::read(mount.path("zeros")).unwrap(), vec![0; 10 * CHUNK_LEN]);
        assert_eq!(mount.tier.asked().len(), before);
    }
}

#[derive(Default)]
struct Notes(Mutex<Vec<ChunkIndex>>);

impl TouchListener for Notes {
    fn first_touch(&self, chunk: ChunkIndex) {
        self.0.lock().unwrap().push(chunk);
    }
}

#[test]
fn a_listener_hears_of_each_first_touch_once_and_in_order() {
    let runtime = runtime();
    let built = Sample::new().with("file", file(noise(1, 5 * CHUNK_LEN))).build();
    let notes = Arc::new(Notes::default());
    let options = ImageOptions { touch_listener: Some(Arc::clone(&notes) as _), ..ImageOptions::default() };
    let image = open(&built, &TestTier::of(&built), &runtime, options);
    let start = built.data_at[b"file".as_slice()];
    for n in [3, 1, 3, 4, 1] {
        runtime.block_on(image.read(start + (n * CHUNK_LEN) as u64, 100)).unwrap();
    }
    let first_of_data = built.manifest.chunks.iter().position(|chunk| chunk.offset >= start).unwrap();
    let heard: Vec<_> =
        notes.0.lock().unwrap().iter().map(|chunk| chunk.as_usize() - first_of_data).collect();
    assert_eq!(heard, [3, 1, 4]);
}
