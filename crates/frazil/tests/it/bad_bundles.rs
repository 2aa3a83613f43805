//! Prefetching from an origin that has everything but what only prefetching asks for: the command runs, and its readers
//! ask for what they would ask for without.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::access_log::chunk_reads;
use crate::support::home::Home;
use crate::support::images;
use crate::support::web::{Trouble, Web};

const HELLO: [&str; 3] = ["python3", "-c", "print('hello')"];

/// Runs the command on a machine that has nothing of the image; the summary, and the chunks that were read one by one.
#[track_caller]
fn run(home: &Home, web: &Web, options: &[&str]) -> (Value, BTreeSet<String>) {
    let elsewhere = home.with_its_store_at(&web.url());
    // A busy machine's origin is slow: a second request for the same chunk would be no prefetch's doing.
    elsewhere.configure("[origin]\nhedge_share = \"0 %\"\n");
    let (log, summary) = (elsewhere.path("access.log"), elsewhere.path("summary.json"));
    let said = ["--access-log", log.to_str().unwrap(), "--summary-json", summary.to_str().unwrap()];
    let words = ["--allow-http", "run", "--cache", "none"].iter().chain(&said).chain(options);
    assert_eq!(elsewhere.says(words.chain(&["image", "--"]).chain(&HELLO)), "hello\n");
    let read = chunk_reads(&log).ids;
    let chunks: BTreeSet<String> = read.iter().cloned().collect();
    assert_eq!(chunks.len(), read.len(), "a chunk was read twice");
    (serde_json::from_slice(&fs::read(summary).unwrap()).unwrap(), chunks)
}

/// The head start of the only manifest.
fn head_of(home: &Home) -> PathBuf {
    let manifests = fs::read_dir(home.store().join("roots/00000001/profiles")).unwrap();
    let [manifest] = &manifests.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()[..] else {
        panic!("one manifest")
    };
    manifest.join("head")
}

#[test]
fn a_bundle_that_fails_or_never_comes_leaves_a_start_what_it_is_without_one() {
    let home = Home::new();
    home.convert(&images::debian_python().source(), "image");
    let words = ["run", "--cache", "none", "image", "--"].iter().chain(&HELLO);
    assert_eq!(home.says(words), "hello\n");
    assert!(home.store().join("roots/00000001/bundles").exists(), "no bundle was made");
    // The bundle itself; and, at last, with its first MiB along with the name.
    let (head, starter) = (head_of(&home), home.store().join("starters/default/image"));
    let (sound_head, sound_starter) = (fs::read(&head).unwrap(), fs::read(&starter).unwrap());
    let profiles_len = u64::from_le_bytes(sound_head[..8].try_into().unwrap()) as usize;
    let troubles = [Trouble::Refuses, Trouble::Swallows, Trouble::Halts].map(|trouble| (trouble, false));
    for (trouble, has_head) in troubles.into_iter().chain([(Trouble::Refuses, true), (Trouble::Halts, true)])
    {
        let without = |whole: &[u8]| whole.len() - (sound_head.len() - 8 - profiles_len);
        for (path, whole) in [(&head, &sound_head), (&starter, &sound_starter)] {
            fs::write(path, if has_head { whole } else { &whole[..without(whole)] }).unwrap();
        }
        let web = Web::publish(home.store(), "/bundles/", trouble);
        let (unhelped, needed) = run(&home, &web, &["--no-profile"]);
        let (troubled, asked) = run(&home, &web, &[]);
        assert!(troubled["profile"]["bundle_requests"].as_u64().unwrap() > 0, "{trouble:?}: {troubled:#}");
        assert_eq!((&troubled["errors"], &troubled["exit_code"]), (&0.into(), &0.into()), "{trouble:?}");
        // What a kernel reads around what it needs differs a little from start to start.
        let others = asked.difference(&needed).count();
        assert!(
            others * 10 <= needed.len(),
            "{trouble:?}: {others} chunks that no start needs: {unhelped:#}"
        );
        if trouble != Trouble::Halts && !has_head {
            let one_by_one = asked.len() as u64;
            let touched = troubled["chunks_touched"].as_u64().unwrap();
            assert!(one_by_one >= touched, "{trouble:?}: {one_by_one} of {touched} chunks: {troubled:#}");
        }
    }
}
