//! Small layers that ask for much memory or time are refused before they get it.

use std::error::Error;

use frazil_convert::ConvertOptions;

use crate::images::Packing;
use crate::tars::*;
use crate::workbench::{Workbench, options};

/// Converts layers that must be refused for a reason with this text in it.
async fn refused(layers: &[Vec<u8>], reason: &str) {
    let bench = Workbench::new().await;
    let error = bench.layers(layers).await.expect_err(reason);
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        (text, cause) = (format!("{text}: {error}"), error.source());
    }
    assert!(text.contains(reason), "{text:?} does not say {reason:?}");
    assert_eq!(bench.names().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_that_no_entry_describes_are_bounded() {
    let deep = |number: usize| file(format!("{number:06}{}/f", "/a".repeat(2040)), "");
    let layer = archive(&(0..200).map(deep).collect::<Vec<_>>());
    refused(&[layer], "more than 262144 directories that no layer describes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_symbolic_link_makes_a_directory_deeper_than_paths_go() {
    let down = "d/".repeat(1500);
    let layer = archive(&[symlink("l", &down), file(format!("l/{down}x"), "")]);
    refused(&[layer], "would have a path of more than 4095 bytes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn symbolic_links_cannot_make_a_layer_take_for_ever() {
    let mut members = vec![dir("d")];
    members.extend(
        (0..39).map(|link| symlink(format!("l{link}"), format!("{}l{}", "d/../".repeat(810), link + 1))),
    );
    members.push(dir("l39"));
    members.extend((0..100).map(|number| file(format!("l0/{number}"), "")));
    refused(&[archive(&members)], "names, symbolic links followed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_an_image_has_often_is_charged_each_time() {
    let layer = archive(
        &(0..3000).map(|number| file(format!("{}{number}", "d/".repeat(500)), "")).collect::<Vec<_>>(),
    );
    refused(&vec![layer; 400], "the entries of all layers, repeated ones included").await;
    let nothing = archive(&[]);
    refused(&vec![nothing; 1001], "are more than 1000").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_a_repeated_layer_count_each_time() {
    let bench = Workbench::new().await;
    let layout = bench.layout("layout", &vec![archive(&[file("f", noise(1, 1 << 20))]); 20], Packing::Gzip);
    let options = ConvertOptions { max_image_bytes: 16 << 20, ..options() };
    // The second time the layer is known already.
    for _ in 0..2 {
        let source = bench.source(&layout).await;
        let error = bench.convert_with(source.as_ref(), "t", &options).await.unwrap_err();
        assert_eq!(error.to_string(), "the files of the image exceed the limit of 16777216 bytes");
    }
    assert_eq!(bench.names().await, 0);
}
