//! A chunk that is missing or corrupt: the reads that need it give EIO, the log names the chunk and the file, and
//! everything else goes on, through both faces.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::access_log::chunk_reads;
use crate::support::home::Home;
use crate::support::images;
use crate::support::mount::{FACES, Mount, is_mounted};
use crate::support::tool::output;

/// A file that is longer than the longest chunk by far, so that it has chunks to itself.
const VICTIM: &str = "usr/bin/python3.11";

/// What can be done about it.
const LOST: &str = "the store has lost a part of this image: frazil scrub --from SOURCE brings it back";

/// A chunk that nothing but the middle of [`VICTIM`] needs.
#[track_caller]
fn chunk_of_victim(home: &Home) -> PathBuf {
    let log = home.path("victim.log");
    let mount = Mount::with(home, "image", &["--via", "tree", "--access-log", log.to_str().unwrap()]);
    let before = chunk_reads(&log).ids.len();
    let mut content = Vec::new();
    File::open(mount.path(VICTIM)).unwrap().read_to_end(&mut content).unwrap();
    mount.unmount();
    let text = fs::read_to_string(&log).unwrap();
    let reads = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let chunks = reads.filter_map(|read| {
        let path = read["path"].as_str().unwrap().to_owned();
        path.contains("/chunks/").then_some(path)
    });
    let chunks: Vec<_> = chunks.skip(before).collect();
    assert!(chunks.len() > 10, "{VICTIM} has {} chunks", chunks.len());
    home.store().join(&chunks[chunks.len() / 2])
}

/// Every regular file of the tree that cannot be read, with its errno.
fn unreadable(root: &Path) -> BTreeSet<(PathBuf, Option<i32>)> {
    let (mut failures, mut pending) = (BTreeSet::new(), vec![root.to_owned()]);
    let mut buffer = vec![0; 1 << 20];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file()
                && let Err(error) = read_all(&entry.path(), &mut buffer)
            {
                let path = entry.path().strip_prefix(root).unwrap().to_owned();
                failures.insert((path, error.raw_os_error()));
            }
        }
    }
    failures
}

fn read_all(path: &Path, buffer: &mut [u8]) -> io::Result<()> {
    let mut file = File::open(path)?;
    while file.read(buffer)? > 0 {}
    Ok(())
}

#[track_caller]
fn one_bad_chunk(spoil: impl Fn(&Path), log_says: &str) {
    let home = Home::new();
    home.convert(&images::debian_python().source(), "image");
    let chunk = chunk_of_victim(&home);
    let id = chunk.file_name().unwrap().to_str().unwrap();
    let sound = fs::read(&chunk).unwrap();
    spoil(&chunk);
    for face in FACES {
        // A profile's bundle would have a copy of the chunk.
        let mount = Mount::with(&home, "image", &["--via", face, "--no-profile"]);
        let victim = (PathBuf::from(VICTIM), Some(libc::EIO));
        assert_eq!(unreadable(mount.root()), BTreeSet::from([victim]), "through {face}");
        let line = mount.log_line(&[id, &format!("/{VICTIM}")]);
        assert!(line.contains(log_says), "{line}");
        mount.unmount();

        // A program that does not need the chunk runs.
        let words =
            ["run", "--no-summary", "--no-profile", "--via", face, "image", "--", "sh", "-c", "echo goes on"];
        assert_eq!(home.says(words), "goes on\n");
    }

    let found = output(&mut home.frazil(["verify", "--json", "image"]));
    assert_eq!(found.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!((&found["sound"], &found["faulty_chunks"]), (&false.into(), &1.into()));
    assert_eq!(found["faults"][0]["chunk"], id);
    let file = home.path("exported");
    let refused = home.refuses(["export", "image", file.to_str().unwrap()]);
    refused.is(1, id, LOST);
    assert!(!file.exists());

    // Where the chunk is whole again, so is the image.
    fs::write(&chunk, sound).unwrap();
    home.verify("image");
}

#[test]
fn a_missing_chunk_fails_its_own_file_and_nothing_else() {
    one_bad_chunk(|chunk| fs::remove_file(chunk).unwrap(), "is not in root");
}

#[test]
fn a_corrupt_chunk_fails_its_own_file_and_nothing_else() {
    let flip = |chunk: &Path| {
        let mut bytes = fs::read(chunk).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(chunk, bytes).unwrap();
    };
    one_bad_chunk(flip, "is corrupt");
}

#[test]
fn an_image_without_its_metadata_is_refused_and_leaves_no_mount() {
    let home = Home::new();
    home.convert(&images::debian().source(), "image");
    let log = home.path("access.log");
    Mount::with(&home, "image", &["--via", "tree", "--access-log", log.to_str().unwrap()]).unmount();
    for id in chunk_reads(&log).ids {
        fs::remove_file(home.store().join("roots/00000001/chunks").join(&id[..2]).join(id)).unwrap();
    }
    for face in FACES {
        let root = home.mountpoint();
        let words = ["mount", "--via", face, "image", root.to_str().unwrap()];
        home.refuses(words).is(1, "at image offset 0 could not be fetched", LOST);
        assert!(!is_mounted(&root));
        assert_eq!(fs::read_dir(root).unwrap().count(), 0);
        home.refuses(["run", "--via", face, "image"]).is(125, "at image offset 0 could not be fetched", LOST);
    }
}
