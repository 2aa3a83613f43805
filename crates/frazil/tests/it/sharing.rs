//! What the store knows is not read again: told by the registry's own log of requests, and by a source whose base
//! layer is not even there.

use std::fs;

use crate::support::difference::assert_same;
use crate::support::home::Home;
use crate::support::image::Image;
use crate::support::images;
use crate::support::objects::Objects;
use crate::support::registry::Registry;
use crate::support::tool::{run, tool};
use crate::support::tree::snapshot;
use crate::support::umoci::unpacked;

/// The requests since `mark` that name this blob.
fn asked_for<'r>(requests: &'r [String], mark: usize, digest: &str) -> Vec<&'r String> {
    requests[mark..].iter().filter(|request| request.contains(digest)).collect()
}

#[test]
fn a_second_image_on_a_base_reads_none_of_the_base_and_adds_only_its_own_chunks() {
    let (registry, home) = (Registry::start(), Home::new());
    let python = registry.push(&images::debian_python(), "debian/python:3");
    let node = registry.push(&images::debian_node(), "debian/node:18");
    let [base, own] = &images::debian_node().layers()[..] else { panic!("node has two layers") };

    home.convert(&python, "python");
    let (mark, before) = (registry.requests().len(), Objects::of(home.store()));
    let summary = home.convert(&node, "node");
    let (requests, after) = (registry.requests(), Objects::of(home.store()));

    assert_eq!(asked_for(&requests, mark, &base.digest), Vec::<&String>::new());
    assert_eq!(asked_for(&requests, mark, &own.digest).len(), 1, "{:?}", &requests[mark..]);
    assert_eq!((&summary["layers_reused"], &summary["layers_ingested"]), (&1.into(), &1.into()));
    assert_eq!(summary["source_bytes"], own.size);

    assert!(before.are_all_in(&after), "an object of the first image was written again");
    let added = after.of_kind("chunks").since(&before);
    assert_eq!(summary["chunks_new"], added.len());
    assert_eq!(summary["bytes_written"], added.bytes());
    assert_eq!(after.of_kind("layers").since(&before).len(), 1);
    let shown = home.tells(["inspect", "--json", "node"]);
    let (below, above) = (&shown["layers"][0], &shown["layers"][1]);
    assert_eq!((&below["shared_chunks"], &below["shared_bytes"]), (&below["chunks"], &below["sealed_bytes"]));
    assert!(above["shared_bytes"].as_u64().unwrap() * 10 < above["sealed_bytes"].as_u64().unwrap());
    println!("node on python's base: {} chunks, {} bytes added", added.len(), added.bytes());
    for name in ["python", "node"] {
        home.verify(name);
    }
}

#[test]
fn an_unchanged_image_moves_no_layer_bytes_and_writes_no_object() {
    let (registry, home) = (Registry::start(), Home::new());
    let source = registry.push(&images::debian_upper(), "debian/upper:1");
    home.convert(&source, "upper");
    let (mark, before) = (registry.requests().len(), Objects::of(home.store()));

    let summary = home.convert(&source, "upper");
    let requests = registry.requests();
    for layer in images::debian_upper().layers() {
        assert_eq!(asked_for(&requests, mark, &layer.digest), Vec::<&String>::new());
    }
    assert_eq!(summary["unchanged"], true);
    for figure in ["layers_ingested", "source_bytes", "chunks_new", "bytes_written"] {
        assert_eq!(summary[figure], 0, "{figure}");
    }
    assert!(Objects::of(home.store()) == before, "the store was written to");

    // Another name for it: a manifest and a starter of its own, and nothing else.
    home.convert(&source, "again");
    let added = Objects::of(home.store()).since(&before);
    assert_eq!((added.len(), added.of_kind("manifests").len(), added.of_kind("names").len()), (3, 1, 1));
}

#[test]
fn a_known_base_need_not_even_be_in_the_source() {
    let home = Home::new();
    home.convert(&images::debian().source(), "debian");

    let layout = home.path("layout");
    run(tool("cp").arg("-a").arg(&images::debian_python().layout).arg(&layout));
    let python = Image::new(&layout, &images::debian_python().tag);
    fs::remove_file(python.blob(&python.layers()[0].digest)).unwrap();
    home.convert(&python.source(), "python");

    let mount = home.mount("python", "tree");
    assert_same(&snapshot(&unpacked(&images::debian_python())), &snapshot(mount.root()));
}
