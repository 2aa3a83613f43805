//! A chunk that is missing or corrupt: EIO for that file, a log line with both names, and nothing else.

use std::fs;

use crate::support::log::Log;
use crate::support::mounts::{FACES, TestMount};
use crate::support::posix::drop_caches;
use crate::support::sample::{CHUNK_LEN, Sample, directory, file, noise};
use crate::support::tier::Fault;

fn sample() -> Sample {
    Sample::new()
        .with("good", file(noise(1, 3 * CHUNK_LEN)))
        .with("lib", directory())
        .with("lib/bad", file(noise(2, 3 * CHUNK_LEN)))
        .with("other", file(noise(3, 3 * CHUNK_LEN)))
}

fn one_bad_chunk(fault: Fault, words: &str) {
    let log = Log::listen();
    for face in FACES {
        let mount = TestMount::new(&sample(), face);
        let chunk = mount.built.chunk_of("lib/bad");
        mount.tier.break_chunk(chunk.id, fault);
        for _ in 0..20 {
            let error = fs::read(mount.path("lib/bad")).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EIO), "through the {face} face");
        }
        assert_eq!(fs::read(mount.path("good")).unwrap(), noise(1, 3 * CHUNK_LEN));
        assert_eq!(fs::read(mount.path("other")).unwrap(), noise(3, 3 * CHUNK_LEN));
        assert_eq!(fs::metadata(mount.path("lib/bad")).unwrap().len(), 3 * CHUNK_LEN as u64);
        let id = chunk.id.to_string();
        let line = log.wait_for(&[&id, "/lib/bad", words]);
        assert!(line.contains(&chunk.offset.to_string()), "no offset in {line}");

        // The store is repaired: the next read is right, without a new mount.
        mount.tier.heal();
        drop_caches();
        assert_eq!(fs::read(mount.path("lib/bad")).unwrap(), noise(2, 3 * CHUNK_LEN));
    }
    // One line each: the other nineteen failures of each face were left out.
    assert_eq!(log.lines(&["cannot read"]).len(), FACES.len());
}

#[test]
fn a_missing_chunk_fails_its_own_file_and_the_log_names_chunk_and_file() {
    one_bad_chunk(Fault::Missing, "is not in root");
}

#[test]
fn a_corrupt_chunk_fails_its_own_file_and_the_log_names_chunk_and_file() {
    one_bad_chunk(Fault::Corrupt, "is corrupt");
}

#[test]
fn an_image_whose_metadata_cannot_be_had_is_not_mounted_and_nothing_stays_behind() {
    use crate::support::mounts::{mount, mount_lines, open, runtime};
    use crate::support::tier::TestTier;
    use frazil_mount::ImageOptions;
    let runtime = runtime();
    let built = sample().build();
    for face in FACES {
        let tier = TestTier::of(&built);
        tier.break_all_others(Fault::Missing);
        let image = open(&built, &tier, &runtime, ImageOptions::default());
        let dir = tempfile::tempdir().unwrap();
        runtime.block_on(mount(&image, dir.path(), face)).unwrap_err();
        assert_eq!(mount_lines(dir.path()), Vec::<String>::new());
    }
}
