//! The life of roots on the command line, and the mending of a store.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::home::Home;
use crate::support::tool::output;

/// A small image.
const HELLO: &str = concat!("oci-archive:", env!("CARGO_MANIFEST_DIR"), "/../../fixtures/hello.oci.tar");

/// Everything is due at once, but a new root.
const AT_ONCE: [&str; 6] = ["--retire-after", "0s", "--expire-after", "0s", "--delete-after", "0s"];

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let (mut found, mut pending) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = pending.pop() {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { pending.push(path) } else { found.push(path) }
        }
    }
    found
}

#[test]
fn an_image_outlives_its_root() {
    let home = Home::new();
    home.convert(HELLO, "hello");
    assert_eq!(home.says(["root", "new"]), "00000002\n");
    let run = [["gc", "run"].as_slice(), &AT_ONCE].concat();
    let plan = home.tells([run.as_slice(), &["--dry-run", "--json"]].concat());
    assert_eq!(plan["steps"][0]["step"], "retire", "{plan:#}");
    assert_eq!(plan["steps"][1]["images"][0]["name"], "hello", "{plan:#}");
    home.says(["root", "list"]);
    assert!(!home.store().join("gc").exists(), "whoever only looked wrote something");
    home.verify("hello");
    let done = home.says(&run);
    assert!(done.contains("delete root 00000001: "), "{done}");
    assert!(files(&home.store().join("roots/00000001")).iter().all(|path| path.ends_with("state.json")));
    home.verify("hello");
    let mount = home.mount("hello", "tree");
    assert!(fs::read_dir(mount.root()).unwrap().count() > 0);
    mount.unmount();
    let roots = home.tells(["root", "list", "--json"]);
    assert_eq!(roots["roots"][0]["state"], "deleted", "{roots:#}");
    assert_eq!(roots["roots"][1]["state"], "active", "{roots:#}");
    home.refuses(["root", "retire", "99"]).is(1, "there is no root 00000099", "frazil root list");
    home.refuses(["root", "retire", "2"]).is(1, "root 00000002 is the only active one", "frazil root new");
}

#[test]
fn a_damaged_chunk_is_found_and_mended_from_the_source() {
    let home = Home::new();
    home.convert(HELLO, "hello");
    home.says(["scrub"]);
    for chunk in files(&home.store().join("roots/00000001/chunks")) {
        let mut bytes = fs::read(&chunk).unwrap();
        bytes[0] ^= 1;
        fs::write(&chunk, bytes).unwrap();
    }
    let scrub = output(&mut home.frazil(["scrub"]));
    assert_eq!(scrub.status.code(), Some(1));
    let said = String::from_utf8(scrub.stdout).unwrap();
    assert!(said.contains("broken: hello of tenant default: "), "{said}");
    let said = home.says(["scrub", "--from", HELLO, "--name", "hello"]);
    assert!(said.contains("mended hello: "), "{said}");
    home.verify("hello");
}

#[test]
fn a_store_is_sound_when_nothing_damaged_is_left_and_not_before() {
    let home = Home::new();
    home.convert(HELLO, "hello");
    let layer = files(&home.store().join("roots/00000001/layers")).remove(0);
    let whole = fs::read(&layer).unwrap();
    fs::write(&layer, &whole[..whole.len() - 1]).unwrap();
    let mended = home.tells(["scrub", "--json", "--from", HELLO, "--name", "hello"]);
    assert_eq!(mended["roots"][0]["damaged_records"].as_array().map(Vec::len), Some(1), "{mended:#}");
    assert_eq!((&mended["sound"], fs::read(&layer).unwrap().len()), (&Value::Bool(true), whole.len()));

    // A chunk that no image needs, and no source brings back.
    let chunk = home.store().join("roots/00000001/chunks/ab").join("ab".repeat(32));
    fs::create_dir_all(chunk.parent().unwrap()).unwrap();
    fs::write(&chunk, "nobody's").unwrap();
    let scrub = output(&mut home.frazil(["scrub", "--json", "--from", HELLO, "--name", "hello"]));
    assert_eq!(scrub.status.code(), Some(1), "{scrub:?}");
    let document: Value = serde_json::from_slice(&scrub.stdout).unwrap();
    let (sound, mended) = (&document["sound"], &document["mended"]);
    assert_eq!((sound, &mended["chunks_damaged"]), (&Value::Bool(false), &Value::from(1)), "{document:#}");
    home.verify("hello");
}
