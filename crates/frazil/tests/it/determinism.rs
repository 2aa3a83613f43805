//! The same image, keys and parameters give the same chunks and the same metadata: with any number of threads, in
//! any store, whatever that store has seen before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::home::Home;
use crate::support::image::Image;
use crate::support::images;
use crate::support::objects::{Objects, contents, digest};

#[track_caller]
fn convert_with(home: &Home, threads: &str, image: &Image) {
    home.says(["convert", "--quiet", "--threads", threads, "--name", "image", &image.source()]);
}

/// What a conversion decides, and nothing that is the store's or the moment's.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Sealed chunks by their paths, which end in their ids.
    chunks: BTreeMap<PathBuf, String>,
    /// Layer indexes by their paths, which tell the layer and how it was cut. Each is sealed with a fresh salt.
    layers: BTreeSet<PathBuf>,
    /// The metadata area and all streams.
    block_image: String,
    /// Geometry, layers and configuration.
    description: Value,
}

#[track_caller]
fn layers(home: &Home) -> BTreeSet<PathBuf> {
    let layers = Objects::of(home.store()).of_kind("layers");
    layers.paths().into_iter().map(Path::to_owned).collect()
}

#[track_caller]
fn outcome(home: &Home) -> Outcome {
    let mut description = home.tells(["inspect", "--json", "image"]);
    // A manifest has a fresh data key and the time of its making; what is shared depends on what else is there.
    for fresh in ["manifest", "created_seconds"] {
        description.as_object_mut().unwrap().remove(fresh).unwrap();
    }
    Outcome {
        chunks: contents(home.store(), "chunks"),
        layers: layers(home),
        block_image: digest(&home.export("image")),
        description,
    }
}

#[test]
fn one_thread_and_eight_give_the_same_chunks_and_metadata_in_two_stores() {
    let one = Home::new();
    convert_with(&one, "1", &images::debian_upper());
    let expected = outcome(&one);
    assert!(expected.chunks.len() > 500 && expected.layers.len() == 3, "{:?}", expected.layers);

    for threads in ["8", "3"] {
        let other = one.with_another_store();
        convert_with(&other, threads, &images::debian_upper());
        assert!(outcome(&other) == expected, "{threads} threads");
    }
}

#[test]
fn what_a_store_has_seen_before_changes_nothing_of_what_is_made() {
    let alone = Home::new();
    convert_with(&alone, "2", &images::debian_python());
    let expected = outcome(&alone);

    let busy = alone.with_another_store();
    busy.convert(&images::debian_node().source(), "node");
    busy.convert(&images::debian_upper().source(), "upper");
    convert_with(&busy, "2", &images::debian_python());
    assert_eq!(digest(&busy.export("image")), expected.block_image);
    let found = contents(busy.store(), "chunks");
    assert!(expected.chunks.iter().all(|(path, content)| found.get(path) == Some(content)));
    assert!(expected.layers.is_subset(&layers(&busy)));
}

#[test]
fn other_keys_give_other_chunks_of_the_same_image() {
    let (one, other) = (Home::new(), Home::new());
    for home in [&one, &other] {
        convert_with(home, "2", &images::debian());
    }
    let (ours, theirs) = (outcome(&one), outcome(&other));
    assert_eq!(ours.block_image, theirs.block_image);
    assert_eq!(ours.chunks.len(), theirs.chunks.len());
    assert!(ours.chunks.keys().all(|chunk| !theirs.chunks.contains_key(chunk)), "a chunk of two scopes");
    assert!(ours.layers.is_disjoint(&theirs.layers), "a layer of two scopes");
}
