//! A conversion that is given up or killed leaves nothing visible, and the next one goes on from what is there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use frazil_store::Keyring;

use crate::images::{Layout, Packing};
use crate::sources::{Then, Watched};
use crate::tars::{archive, file, noise};
use crate::trees::assert_same;
use crate::workbench::{Workbench, convert_into, open_store, options};

fn layers() -> Vec<Vec<u8>> {
    (0..3).map(|layer| archive(&[file(format!("f{layer}"), noise(layer, 3_000_000))])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversion_given_up_at_any_byte_is_taken_up_by_the_next_one() {
    let whole = Workbench::new().await;
    whole.layers(&layers()).await.unwrap();
    let expected = whole.image("t").await.tree().await;

    let bench = Workbench::new().await;
    let layout = bench.layout("layout", &layers(), Packing::Gzip);
    for limit in [0, 1, 700_000, 3_100_000, 2_900_000, 50_000] {
        let source = Watched::stopping(bench.source(&layout).await, limit, Then::Hang);
        let options = options();
        tokio::select! {
            outcome = bench.convert_with(&source, "t", &options) => panic!("ended at {limit}: {outcome:?}"),
            () = async {
                source.seen.stopped.notified().await;
                // What was cut before the source stopped arrives in the store sooner or later.
                while limit > 1_000_000 && chunk_files(&bench.dir.path().join("store")) < 8 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            } => {}
        }
        assert_eq!(bench.names().await, 0, "given up at {limit}");
    }
    let conversion = bench.convert(&layout, "t").await.unwrap();
    assert!(conversion.chunks_shared > 0 || conversion.layers_reused > 0, "{conversion:?}");
    assert_same(&expected, &bench.image("t").await.tree().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_breaks_is_an_error_and_whole_layers_are_kept() {
    let bench = Workbench::new().await;
    let layout = bench.layout("layout", &layers(), Packing::Plain);
    let source = Watched::stopping(bench.source(&layout).await, 8_000_000, Then::Fail);
    bench.convert_with(&source, "t", &options()).await.expect_err("the source breaks");
    assert_eq!(bench.names().await, 0);

    let source = Watched::new(bench.source(&layout).await);
    let conversion = bench.convert_with(&source, "t", &options()).await.unwrap();
    assert!(conversion.layers_reused >= 1, "{conversion:?}");
    assert!(source.layers() <= 2);
}

const CHILD_DIRECTORY: &str = "FRAZIL_TEST_KILLED_CONVERSION";

/// The process that is killed: a test of its own that does nothing unless it is asked to.
#[tokio::test(flavor = "multi_thread")]
async fn child_converts_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIRECTORY) else { return };
    let dir = Path::new(&dir);
    let store = open_store(&dir.join("store")).await;
    let keyring = Keyring::open_or_create(dir.join("keys")).unwrap();
    let spec = format!("oci:{}:t", dir.join("layout").display()).parse().unwrap();
    let source = frazil_convert::source::open(&spec, &Default::default()).await.unwrap();
    convert_into(&store, &keyring, source.as_ref(), "t", &options()).await.unwrap();
}

/// Finished chunks in a store's directory. An object that is being written has a `#` in its name.
fn chunk_files(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let count = |path: PathBuf| match path.is_dir() {
        true => chunk_files(&path),
        false => {
            let path = path.to_string_lossy();
            usize::from(path.contains("/chunks/") && !path.contains('#'))
        }
    };
    entries.flatten().map(|entry| count(entry.path())).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_nothing_visible_and_its_chunks_are_used() {
    let bench = Workbench::new().await;
    let dir = bench.dir.path();
    let layers: Vec<_> =
        (0..2).map(|layer| archive(&[file(format!("f{layer}"), noise(layer, 30 << 20))])).collect();
    Layout::with_image(&dir.join("layout"), "t", &layers, Packing::Plain);
    for enough in [10, 60] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crashes::child_converts_until_it_is_killed"])
            .env(CHILD_DIRECTORY, dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while chunk_files(&dir.join("store")) < enough && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(!status.success(), "the child was killed before it was done");
        assert_eq!(bench.names().await, 0);
    }
    let layout = dir.join("layout");
    let spec = format!("oci:{}:t", layout.display()).parse().unwrap();
    let source = frazil_convert::source::open(&spec, &Default::default()).await.unwrap();
    let conversion = bench.convert_with(source.as_ref(), "t", &options()).await.unwrap();
    assert!(conversion.chunks_shared >= 8, "{conversion:?}");
    let tree = bench.image("t").await.tree().await;
    assert_eq!(tree[&b"f1"[..]].size, 30 << 20);
}
