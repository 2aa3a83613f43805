//! What is known is neither read nor written again, and the result never depends on how it came about.

use frazil_convert::{ConvertError, ConvertOptions, CutParameters};
use frazil_format::{ChunkId, Compression};

use crate::images::Packing;
use crate::sources::Watched;
use crate::tars::{archive, dir, file, noise};
use crate::workbench::{Workbench, open_store, options};

fn base() -> Vec<u8> {
    archive(&[dir("usr"), file("usr/big", noise(1, 3_000_000)), file("usr/text", "a line\n".repeat(50_000))])
}

fn upper(seed: u64) -> Vec<u8> {
    archive(&[file("app", noise(seed, 400_000)), file(format!("only-{seed}"), "x")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_image_on_the_same_base_reads_nothing_of_the_base() {
    let bench = Workbench::new().await;
    let first = bench.layout("first", &[base(), upper(2)], Packing::Gzip);
    let second = bench.layout("second", &[base(), upper(3)], Packing::Gzip);
    let one = bench.convert(&first, "one").await.unwrap();
    assert_eq!((one.layers_ingested, one.layers_reused), (2, 0));

    let source = Watched::new(bench.source(&second).await);
    let two = bench.convert_with(&source, "two", &options()).await.unwrap();
    assert_eq!((two.layers_ingested, two.layers_reused), (1, 1));
    assert_eq!(source.layers(), 1, "only the upper layer is opened");
    assert_eq!(source.bytes(), two.source_bytes);
    assert!(two.source_bytes < one.source_bytes / 2);
    assert!(two.bytes_written < 500_000, "{} bytes", two.bytes_written);
}

#[tokio::test(flavor = "multi_thread")]
async fn converting_an_unchanged_image_again_moves_no_bytes_and_changes_nothing() {
    let bench = Workbench::new().await;
    let layout = bench.layout("layout", &[base(), upper(2)], Packing::Zstd);
    let first = bench.convert(&layout, "t").await.unwrap();
    assert!(!first.unchanged);

    let source = Watched::new(bench.source(&layout).await);
    let again = bench.convert_with(&source, "t", &options()).await.unwrap();
    assert_eq!((source.layers(), source.bytes(), again.tar_bytes), (0, 0, 0));
    assert_eq!((again.chunks_new, again.bytes_written), (0, 0));
    assert!(again.unchanged);
    assert_eq!(again.manifest, first.manifest);

    let renamed = bench.convert_with(&source, "other", &options()).await.unwrap();
    assert_eq!((renamed.chunks_new, renamed.unchanged), (0, false));
    assert_ne!(renamed.manifest, first.manifest, "a manifest is of one name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_an_image_has_twice_is_read_once() {
    let bench = Workbench::new().await;
    let layout = bench.layout("layout", &[base(), upper(2), base()], Packing::Gzip);
    let source = Watched::new(bench.source(&layout).await);
    let conversion = bench.convert_with(&source, "t", &options()).await.unwrap();
    assert_eq!((source.layers(), conversion.layers_ingested, conversion.layers_reused), (2, 2, 1));
    let tree = bench.image("t").await.tree().await;
    assert_eq!(tree[&b"usr/big"[..]].size, 3_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_layer_index_counts_as_unknown() {
    let bench = Workbench::new().await;
    let layout = bench.layout("layout", &[base()], Packing::Gzip);
    bench.convert(&layout, "t").await.unwrap();
    let indexes = find_files(&bench.dir.path().join("store"), "layer");
    assert_eq!(indexes.len(), 1, "{indexes:?}");
    let mut bytes = std::fs::read(&indexes[0]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&indexes[0], bytes).unwrap();

    let again = bench.convert(&layout, "t").await.unwrap();
    assert_eq!((again.layers_ingested, again.chunks_new), (1, 0));
    assert!(again.unchanged);
}

/// Files below a directory whose path has a text in it.
fn find_files(dir: &std::path::Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(find_files(&path, text));
        } else if path.to_string_lossy().contains(text) {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_packing_and_stores_do_not_change_the_result() {
    let bench = Workbench::new().await;
    let layers = [base(), upper(2), archive(&[file("usr/.wh.text", ""), file("z", noise(4, 100_000))])];
    let mut results = Vec::new();
    for (threads, packing) in [(1, Packing::Gzip), (8, Packing::Plain), (3, Packing::Zstd)] {
        let name = format!("layout-{threads}");
        let layout = bench.layout(&name, &layers, packing);
        let other = Workbench {
            store: open_store(&bench.dir.path().join(format!("store-{threads}"))).await,
            ..Workbench::new().await
        };
        let source = other.source(&layout).await;
        other.convert_with(source.as_ref(), "t", &ConvertOptions { threads, ..options() }).await.unwrap();
        let image = other.image("t").await;
        results.push((image.manifest.chunks.clone(), image.metadata().await));
    }
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_format_is_pinned_by_a_golden_image() {
    let bench = Workbench::new().await;
    let layout = bench.layout("layout", &[base(), upper(2)], Packing::Plain);
    let source = bench.source(&layout).await;
    // Uncompressed: the vector does not depend on a version of zstd.
    let options = ConvertOptions { compression: Some(Compression::None), ..options() };
    bench.convert_with(source.as_ref(), "t", &options).await.unwrap();
    let image = bench.image("t").await;
    let ids: Vec<u8> = image.manifest.chunks.iter().flat_map(|chunk| *chunk.id.as_bytes()).collect();
    assert_eq!(ChunkId::of(&image.metadata().await).to_string(), GOLDEN_METADATA);
    assert_eq!(ChunkId::of(&ids).to_string(), GOLDEN_CHUNKS);
}

const GOLDEN_METADATA: &str = "4ec7495e04050aacea47c1fc377ea886f5df1de1dd8933f6a4044a4becda8679";
const GOLDEN_CHUNKS: &str = "de71ac4f6a8358ab0e53e86b92afc672c2bfeb7b73d658c85827d481ae76a95b";

#[tokio::test(flavor = "multi_thread")]
async fn another_way_of_cutting_makes_other_layer_indexes() -> Result<(), ConvertError> {
    let bench = Workbench::new().await;
    let layout = bench.layout("layout", &[base()], Packing::Gzip);
    bench.convert(&layout, "t").await?;
    let source = bench.source(&layout).await;
    let options = ConvertOptions { cut: CutParameters::new(4 << 10, 16 << 10, 64 << 10)?, ..options() };
    let conversion = bench.convert_with(source.as_ref(), "t", &options).await?;
    assert_eq!((conversion.layers_ingested, conversion.unchanged), (1, false));
    assert!(conversion.image_chunks > 100);
    Ok(())
}
