//! A program fetches what it touches. Three who do not know each other count it: the program's own summary, the
//! store's access log, and the kernel, which tells the test of each file that is opened.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::support::access_log::chunk_reads;
use crate::support::home::Home;
use crate::support::image::Image;
use crate::support::images;
use crate::support::mount::{FACES, Mount};
use crate::support::objects::Objects;
use crate::support::opened::OpenedChunks;

/// A home with one image, whose chunks are all that is in the store.
fn home_with(image: &Image) -> Home {
    let home = Home::new();
    home.convert(&image.source(), "image");
    home
}

/// Runs a command, checks that all three counts agree, and gives the summary.
#[track_caller]
fn run_counted(home: &Home, face: &str, command: &[&str], prints: &str) -> Value {
    let (log, summary) = (home.path("access.log"), home.path("summary.json"));
    let _ = fs::remove_file(&log);
    let watch = OpenedChunks::watch(home.store());
    let (log_text, summary_text) = (log.to_str().unwrap(), summary.to_str().unwrap());
    // What is fetched for want of it, and nothing ahead that an earlier run asked for.
    let options = ["--via", face, "--no-profile", "--access-log", log_text, "--summary-json", summary_text];
    let words = ["run"].iter().chain(&options).chain(&["image", "--"]).chain(command);
    assert_eq!(home.says(words), prints);

    let opened = watch.ids();
    let summary: Value = serde_json::from_slice(&fs::read(summary).unwrap()).unwrap();
    let logged = chunk_reads(&log);
    assert_eq!(summary["requests"], logged.ids.len(), "the summary and the access log, {face}");
    assert_eq!(summary["fetched_bytes"], logged.bytes, "the summary and the access log, {face}");
    let different: BTreeSet<_> = logged.ids.iter().collect();
    assert!(
        different == opened.iter().collect(),
        "the access log and the kernel tell of other chunks, {face}"
    );
    // The kernel tells once of a file that is opened twice in a row (inotify(7)).
    assert!(different.len() <= opened.len() && opened.len() <= logged.ids.len(), "{face}");
    println!("{} requests, {} different chunks", logged.ids.len(), different.len());
    // What was read ahead of the reader need not have been touched.
    let touched = summary["chunks_touched"].as_u64().unwrap();
    assert!(touched <= different.len() as u64 && touched > 0, "{summary:#}");
    assert_eq!((&summary["errors"], &summary["exit_code"]), (&0.into(), &0.into()));
    summary
}

#[test]
fn hello_from_python_fetches_less_than_a_fifth_of_its_image_and_all_counts_agree() {
    let home = home_with(&images::debian_python());
    let whole = Objects::of(home.store()).of_kind("chunks").bytes();
    for face in FACES {
        let summary = run_counted(&home, face, &["python3", "-c", "print('hello')"], "hello\n");
        let fetched = summary["fetched_bytes"].as_u64().unwrap();
        let percent = fetched as f64 * 100.0 / whole as f64;
        println!("{face}: {percent:.1} % of {whole} bytes in {} requests", summary["requests"]);
        assert!(fetched * 5 < whole, "{face}: {percent:.1} %");
        assert!(summary["image_sealed_bytes"].as_u64().unwrap() >= whole);
    }
}

#[test]
fn node_and_a_shell_are_counted_alike() {
    let home = home_with(&images::debian_node());
    let whole = Objects::of(home.store()).of_kind("chunks").bytes();
    for face in FACES {
        for (command, expected) in [
            (&["node", "-e", "console.log('hello')"][..], "hello\n"),
            (&["sh", "-c", "echo hello | tr h H"], "Hello\n"),
        ] {
            let summary = run_counted(&home, face, command, expected);
            let percent = summary["fetched_bytes"].as_u64().unwrap() as f64 * 100.0 / whole as f64;
            println!("{} {face}: {percent:.1} % in {} requests", command[0], summary["requests"]);
        }
    }
}

#[test]
fn a_mount_that_nobody_reads_costs_a_few_chunks_and_reading_it_twice_costs_as_much_as_once() {
    let home = home_with(&images::debian_python());
    for face in FACES {
        let log = home.path("mount.log");
        let _ = fs::remove_file(&log);
        let watch = OpenedChunks::watch(home.store());
        let options = ["--via", face, "--no-profile", "--access-log", log.to_str().unwrap()];
        let mount = Mount::with(&home, "image", &options);
        let mounted = chunk_reads(&log);
        assert!(mounted.ids.len() <= 4, "mounting reads {} chunks through {face}", mounted.ids.len());

        for _ in 0..2 {
            assert!(fs::read(mount.path("usr/bin/env")).unwrap().starts_with(b"\x7fELF"));
        }
        mount.unmount();
        let read = chunk_reads(&log);
        let different: BTreeSet<_> = read.ids.iter().collect();
        assert!(different == watch.ids().iter().collect(), "the log and the kernel disagree on {face}");
        assert_eq!(different.len(), read.ids.len(), "a chunk was fetched twice through {face}");
        assert!(read.ids.len() > mounted.ids.len() && read.ids.len() < 60, "{} chunks", read.ids.len());
    }
}
