//! What the store lost comes back by converting again, and a root that was retired is not written to.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use frazil_convert::ConvertOptions;
use frazil_format::{Chunk, RootId};
use frazil_store::gc::{self, Intent, Policy};

use crate::images::Packing;
use crate::tars::{archive, file, noise};
use crate::workbench::{TENANT, Workbench, image_name, options};

fn layers() -> [Vec<u8>; 2] {
    [archive(&[file("base", noise(1, 2_000_000))]), archive(&[file("app", noise(2, 500_000))])]
}

fn chunk_file(bench: &Workbench, chunk: &Chunk) -> PathBuf {
    let id = chunk.id.to_string();
    bench.dir.path().join(format!("store/roots/00000001/chunks/{}/{id}", &id[..2]))
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_vanished_behind_the_stores_back_come_back_with_the_next_conversion() {
    let bench = Workbench::new().await;
    let layout = bench.layout("layout", &layers(), Packing::Gzip);
    let first = bench.convert(&layout, "t").await.unwrap();
    let manifest = bench.manifest("t").await;
    // One chunk of the base layer; the other layer is not read again.
    let lost = manifest.chunks.iter().find(|chunk| chunk.offset >= manifest.geometry.metadata_len).unwrap();
    let bytes = std::fs::read(chunk_file(&bench, lost)).unwrap();
    std::fs::remove_file(chunk_file(&bench, lost)).unwrap();

    let again = bench.convert(&layout, "t").await.unwrap();
    assert_eq!((again.layers_ingested, again.layers_reused, again.chunks_new), (1, 1, 1));
    assert_eq!((again.unchanged, again.manifest), (true, first.manifest));
    assert_eq!(std::fs::read(chunk_file(&bench, lost)).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_chunk_of_the_right_length_is_written_anew_if_it_is_distrusted() {
    let bench = Workbench::new().await;
    let layout = bench.layout("layout", &layers(), Packing::Gzip);
    bench.convert(&layout, "t").await.unwrap();
    let manifest = bench.manifest("t").await;
    let (metadata, data) = (&manifest.chunks[0], manifest.chunks.last().unwrap());
    let mut sound = Vec::new();
    for chunk in [metadata, data] {
        let mut bytes = std::fs::read(chunk_file(&bench, chunk)).unwrap();
        sound.push(bytes.clone());
        bytes[0] ^= 1;
        std::fs::write(chunk_file(&bench, chunk), bytes).unwrap();
    }
    let trusting = bench.convert(&layout, "t").await.unwrap();
    assert_eq!(trusting.chunks_new, 0, "nobody reads what is there, and so nobody notices");

    let distrusted = Arc::new(HashSet::from([metadata.id, data.id]));
    let source = bench.source(&layout).await;
    let options = ConvertOptions { distrusted, ..options() };
    let mended = bench.convert_with(source.as_ref(), "t", &options).await.unwrap();
    assert_eq!((mended.layers_ingested, mended.chunks_new, mended.unchanged), (1, 2, true));
    for (chunk, sound) in [metadata, data].into_iter().zip(sound) {
        assert_eq!(std::fs::read(chunk_file(&bench, chunk)).unwrap(), sound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_migration_the_next_image_on_the_same_base_reads_nothing_of_the_base() {
    let bench = Workbench::new().await;
    let [base, app] = layers();
    let layout = bench.layout("layout", &[base.clone(), app], Packing::Gzip);
    bench.convert(&layout, "t").await.unwrap();
    bench.store.new_root().await.unwrap();
    let policy =
        Policy { new_after: std::time::Duration::MAX, retire_after: Default::default(), ..Policy::default() };
    let report = gc::collect(&bench.store, &policy, Intent::Run).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    let reference = bench.store.reference(TENANT, &image_name("t")).await.unwrap().unwrap();
    assert_eq!(reference.root, RootId::from_number(2));

    let other = bench.layout("other", &[base, archive(&[file("app", noise(3, 500_000))])], Packing::Gzip);
    let converted = bench.convert(&other, "other").await.unwrap();
    assert_eq!((converted.root.number(), converted.layers_reused, converted.layers_ingested), (2, 1, 1));
}
