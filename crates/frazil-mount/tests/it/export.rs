//! The block image as a file.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use frazil_mount::ImageOptions;

use crate::support::mounts::{open, runtime};
use crate::support::sample::{everything, file};
use crate::support::tier::{Fault, TestTier};

#[test]
fn an_exported_image_is_the_block_image_with_holes_and_fsck_accepts_it() {
    let runtime = runtime();
    let built = everything().with("zzz", file(vec![0; 40 << 20])).build();
    let image = open(&built, &TestTier::of(&built), &runtime, ImageOptions::default());
    let target = tempfile::NamedTempFile::new().unwrap();
    let exported =
        runtime.block_on(frazil_mount::export(&image, target.as_file().try_clone().unwrap())).unwrap();
    assert!(std::fs::read(target.path()).unwrap() == built.plain);
    assert_eq!(exported.len, built.plain.len() as u64);
    assert!(exported.written < 1 << 20, "{} bytes were written", exported.written);
    assert!(target.as_file().metadata().unwrap().blocks() * 512 < 2 << 20);
    let fsck = Command::new("fsck.erofs").arg(target.path()).output().expect("apt install erofs-utils");
    assert!(fsck.status.success(), "{}", String::from_utf8_lossy(&fsck.stderr));
}

#[test]
fn an_export_that_lacks_a_chunk_fails() {
    let runtime = runtime();
    let built = everything().build();
    let tier = TestTier::of(&built);
    tier.break_chunk(built.chunk_of("bin/ping").id, Fault::Missing);
    let image = open(&built, &tier, &runtime, ImageOptions::default());
    let file = tempfile::tempfile().unwrap();
    runtime.block_on(frazil_mount::export(&image, file)).unwrap_err();
}
