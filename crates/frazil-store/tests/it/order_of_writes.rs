//! The order of writes, as the kernel saw it: nothing refers to what a power cut could still take away.

use std::path::PathBuf;
use std::process::Command;

use bytes::Bytes;

use crate::namespace::block_on;
use crate::scene::{ROOT, publish, sealed, store_in};

/// Tells a child of this test program which store to write to.
const STORE: &str = "FRAZIL_TEST_STORE";

/// Also what strace follows in the next test.
#[test]
fn a_process_publishes_an_image() {
    let own = tempfile::tempdir().unwrap();
    let directory = std::env::var_os(STORE).map_or_else(|| own.path().join("store"), PathBuf::from);
    block_on(async {
        let store = store_in(&directory).await;
        for seed in 0..3 {
            let chunk = sealed(20_000, seed);
            store.put_chunk(ROOT, &chunk.id, &chunk.chunk).await.unwrap();
        }
        let layer = sealed(1, 0).id.to_string().parse().unwrap();
        store.put_layer_index(ROOT, &layer, Bytes::from_static(b"index")).await.unwrap();
        let metadata = sealed(20_000, 7);
        store.put_chunk(ROOT, &metadata.id, &metadata.chunk).await.unwrap();
        let reference = publish(&store, "app", b"manifest").await;
        assert_eq!(store.manifest(ROOT, &reference.manifest).await.unwrap(), "manifest");
    });
}

#[test]
fn nothing_is_written_that_refers_to_what_is_not_durable() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let output = Command::new("strace")
        .args([
            "-f",
            "-y",
            "-s",
            "4096",
            "-e",
            "trace=syncfs,fsync,fdatasync,link,linkat,rename,renameat,renameat2",
        ])
        .arg("-o")
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "order_of_writes::a_process_publishes_an_image"])
        .env(STORE, directory.path().join("store"))
        .output()
        .expect("this test watches system calls: install the package strace");
    assert!(output.status.success(), "{output:?}");
    let trace = std::fs::read_to_string(&trace).unwrap();
    let steps: Vec<&str> = trace.lines().filter_map(step).collect();
    let expected = [
        // The store, its marker last.
        "write state",
        "sync",
        "write marker",
        "sync",
        // A layer's chunks, and then the index that says that they are there.
        "write chunk",
        "write chunk",
        "write chunk",
        "sync",
        "fsync layer",
        "write layer",
        // The metadata's chunk, the manifest that refers to all chunks, the name that refers to the manifest.
        "write chunk",
        "sync",
        "fsync manifest",
        "write manifest",
        "sync",
        "fsync name",
        "write name",
        "fsync names",
    ];
    let mut rest = steps.iter();
    for step in expected {
        assert!(rest.any(|seen| *seen == step), "{step} is missing or too late in {steps:#?}");
    }
    let last_chunk = steps.iter().rposition(|step| *step == "write chunk").unwrap();
    let manifest = steps.iter().position(|step| *step == "write manifest").unwrap();
    assert!(last_chunk < manifest);
}

/// What a line of the trace means here. A call counts from its end, if it ended elsewhere than it began.
fn step(line: &str) -> Option<&'static str> {
    if line.contains("syncfs") && !line.contains("unfinished") {
        return Some("sync");
    }
    let writes = line.contains("link(") || line.contains("linkat(") || line.contains("rename");
    let object = [
        ("state.json", "fsync state", "write state"),
        ("frazil.json", "fsync marker", "write marker"),
        ("/chunks/", "fsync chunk", "write chunk"),
        ("/layers/", "fsync layer", "write layer"),
        ("/manifests/", "fsync manifest", "write manifest"),
        ("/names/default/", "fsync name", "write name"),
        ("/names/default>", "fsync names", "write names"),
    ];
    let (_, synced, written) = object.into_iter().find(|(part, ..)| line.contains(part))?;
    if writes { Some(written) } else { Some(synced) }
}
