//! Profiles: the second start of an image is helped by the first, nobody else learns anything, and whatever is wrong
//! with what was recorded, the command runs.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::access_log::chunk_reads;
use crate::support::home::Home;
use crate::support::images;

/// How much of a bundle is in a head start, in bytes.
const HEAD_LEN: u64 = 1 << 20;

const HELLO: [&str; 3] = ["python3", "-c", "print('hello')"];

/// A home with an image of Python.
fn home() -> Home {
    let home = Home::new();
    home.convert(&images::debian_python().source(), "image");
    home
}

/// Runs the command; the summary, and how many chunks were read one by one.
#[track_caller]
fn run(home: &Home, options: &[&str]) -> (Value, usize) {
    let (log, summary) = (home.path("access.log"), home.path("summary.json"));
    let _ = fs::remove_file(&log);
    let said = ["--access-log", log.to_str().unwrap(), "--summary-json", summary.to_str().unwrap()];
    let words = ["run"].iter().chain(&said).chain(options).chain(&["image", "--"]).chain(&HELLO);
    assert_eq!(home.says(words), "hello\n");
    let summary = serde_json::from_slice(&fs::read(summary).unwrap()).unwrap();
    (summary, chunk_reads(&log).ids.len())
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The files beside the manifests: profiles and head starts, or bundles.
fn beside(home: &Home, kind: &str) -> Vec<PathBuf> {
    let directory = home.store().join("roots/00000001").join(kind);
    let Ok(manifests) = fs::read_dir(directory) else { return Vec::new() };
    let files = manifests.flat_map(|manifest| fs::read_dir(manifest.unwrap().path()).unwrap());
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn a_second_start_needs_a_quarter_as_many_requests_as_chunks_and_its_owner_sees_why() {
    let home = home();
    let (first, reads) = run(&home, &[]);
    assert_eq!(number(&first["profile"]["prefetched_chunks"]), 0, "{first:#}");
    assert_eq!((beside(&home, "profiles").len(), beside(&home, "bundles").len()), (2, 1));

    let (second, reads_then) = run(&home, &[]);
    let (requests, touched) = (number(&second["requests"]), number(&second["chunks_touched"]));
    assert!(requests * 4 <= touched, "{requests} requests for {touched} chunks: {second:#}");
    assert!(reads_then * 4 <= reads, "{reads_then} chunks were read one by one, {reads} before");
    let profile = &second["profile"];
    assert!(number(&profile["used_bytes"]) * 10 >= number(&profile["prefetched_bytes"]) * 9, "{second:#}");

    let shown = home.tells(["profile", "show", "--json", "image"]);
    assert_eq!(
        (shown.as_array().unwrap().len(), &shown[0]["command"]),
        (1, &"python3 -c print('hello')".into())
    );
    assert_eq!((&shown[0]["starts"], &shown[0]["is_played"]), (&2.into(), &true.into()));
    let words = ["profile", "show", "--json", "image", "--"].iter().chain(&HELLO);
    let order = home.tells(words)["order"].clone();
    assert_eq!(order[0]["files"][0], "(metadata)", "the tree comes first");
    assert!(order.to_string().contains("/usr/bin/python3"), "{order:#}");
}

#[test]
fn whoever_has_nothing_reads_how_a_bundle_begins_along_with_its_profiles() {
    let home = home();
    run(&home, &[]);
    let log = home.path("access.log");
    let read = |what: &str| -> Vec<u64> {
        let log = fs::read_to_string(&log).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let is_read = |line: &Value| line["op"] == "get" && line["path"].as_str().unwrap().contains(what);
        lines.filter(is_read).map(|line| number(&line["bytes"])).collect()
    };
    let [bundle] = &beside(&home, "bundles")[..] else { panic!("one file") };
    let bundle_len = fs::metadata(bundle).unwrap().len();
    let [profiles, _] = &beside(&home, "profiles")[..] else { panic!("two files") };
    let profiles_len = fs::metadata(profiles).unwrap().len();

    let (helped, _) = run(&home, &[]);
    assert!(number(&helped["profile"]["prefetched_chunks"]) > 0, "{helped:#}");
    assert!(read("/profiles/").contains(&(8 + profiles_len + 72 + HEAD_LEN)), "{:?}", read("/profiles/"));
    assert_eq!(read("/bundles/").iter().sum::<u64>(), bundle_len - HEAD_LEN, "the rest of it");

    run(&home, &["--no-profile"]);
    assert_eq!((read("/head"), read("/bundles/")), (Vec::new(), Vec::new()));
}

#[test]
fn without_profiles_nothing_is_recorded_and_dropped_ones_are_gone() {
    let home = home();
    let (unhelped, reads) = run(&home, &["--no-profile"]);
    assert!(unhelped["profile"].is_null() && beside(&home, "profiles").is_empty(), "{unhelped:#}");
    run(&home, &[]);
    let (_, reads_then) = run(&home, &["--no-profile"]);
    assert!(reads_then * 4 > reads * 3, "{reads_then} chunks, {reads} before");
    home.says(["profile", "drop", "image"]);
    assert!(beside(&home, "profiles").is_empty() && beside(&home, "bundles").is_empty());
    run(&home, &[]);
}

#[test]
fn what_is_damaged_foreign_or_missing_beside_a_manifest_stops_no_start() {
    let home = home();
    run(&home, &[]);
    let [profiles, head] = &beside(&home, "profiles")[..] else { panic!("two files") };
    let [bundle] = &beside(&home, "bundles")[..] else { panic!("one file") };
    let (sound, sound_head) = (fs::read(profiles).unwrap(), fs::read(head).unwrap());
    assert!(sound.len().is_power_of_two() && fs::metadata(bundle).unwrap().len().is_multiple_of(1 << 20));

    let mut broken = fs::read(bundle).unwrap();
    broken[1000] ^= 1;
    fs::write(bundle, &broken).unwrap();
    run(&home, &[]);
    fs::write(bundle, &broken[..100_000]).unwrap();
    run(&home, &[]);
    let _ = fs::remove_file(bundle);
    run(&home, &[]);
    for (file, sound) in [(profiles, &sound), (head, &sound), (head, &sound_head)] {
        let foreign: Vec<u8> = sound.iter().map(|byte| byte ^ 1).collect();
        for bytes in [&sound[..100], &[0; 4096], &[], &foreign] {
            fs::write(file, bytes).unwrap();
            run(&home, &[]);
        }
    }
    let (healed, _) = run(&home, &[]);
    assert!(number(&healed["profile"]["prefetched_chunks"]) > 0, "it was recorded anew: {healed:#}");
}

#[test]
fn a_new_version_of_an_image_inherits_what_starts_of_the_old_one_read() {
    let home = home();
    run(&home, &[]);
    let command = home.tells(["profile", "show", "--json", "image"])[0]["command"].clone();
    home.convert(&images::debian_node().source(), "image");
    let inherited = home.tells(["profile", "show", "--json", "image"]);
    assert_eq!(inherited[0]["command"], command);
    assert!(number(&inherited[0]["chunks"]) > 20, "{inherited:#}");
    assert!(number(&inherited[0]["bundle_bytes"]) > 0, "{inherited:#}");
}
