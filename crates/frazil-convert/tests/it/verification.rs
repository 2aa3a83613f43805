//! Verification finds what is wrong, and nothing where nothing is.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use frazil_convert::verify::{AddressSpace, against_source, chunks};
use frazil_format::RootId;

use crate::images::{Layout, Packing};
use crate::tars::*;
use crate::workbench::{StoredImage, Workbench, platform};

const NO_LIMIT: u64 = 1 << 40;

fn layers() -> Vec<Vec<u8>> {
    vec![
        archive(&[
            dir("d").mode(0o750),
            file("d/f", noise(1, 300_000)).pax("SCHILY.xattr.user.a", "1"),
            hardlink("h", "d/f"),
            symlink("l", "d/f"),
            Member::new(CHAR_DEVICE, "c").device(1, 3),
            file("pit", "ab").pax("GNU.sparse.map", "0,1,9000000,1").pax("GNU.sparse.size", "9000001"),
        ]),
        archive(&[file("top", noise(2, 50_000)), file(".wh.l", "")]),
    ]
}

async fn image(bench: &Workbench) -> (Layout, StoredImage) {
    let layout = bench.layout("layout", &layers(), Packing::Zstd);
    bench.convert(&layout, "t").await.unwrap();
    (layout, bench.image("t").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_image_is_the_same_as_its_source() {
    let bench = Workbench::new().await;
    let (layout, image) = image(&bench).await;
    let source = bench.source(&layout).await;
    let comparison = against_source(Arc::new(image), source.as_ref(), &platform(), NO_LIMIT).await.unwrap();
    assert_eq!(comparison.differences, []);
    assert_eq!((comparison.paths, comparison.bytes), (7, 300_000 + 50_000 + 9_000_001));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_image_differs_in_what_is_other() {
    let bench = Workbench::new().await;
    let (_, image) = image(&bench).await;
    let changed = archive(&[
        dir("d").mode(0o700),
        file("d/f", noise(3, 300_000)).pax("SCHILY.xattr.user.a", "2"),
        file("h", "no link").owner(1, 0).mtime(5),
        symlink("c", "not a device"),
        file("new", ""),
        file("pit", "ab").pax("GNU.sparse.map", "0,1,9000000,1").pax("GNU.sparse.size", "9000001"),
    ]);
    let other = bench.layout("other", &[changed], Packing::Gzip);
    let source = bench.source(&other).await;
    let comparison = against_source(Arc::new(image), source.as_ref(), &platform(), NO_LIMIT).await.unwrap();
    let found: Vec<_> =
        comparison.differences.iter().map(|difference| (difference.path.as_str(), difference.what)).collect();
    for expected in [
        ("d", "mode"),
        ("d/f", "content"),
        ("d/f", "xattrs"),
        ("h", "owner"),
        ("h", "mtime"),
        ("h", "size"),
        ("c", "type"),
        ("new", "missing"),
        ("top", "extra"),
    ] {
        assert!(found.contains(&expected), "{expected:?} is not in {found:?}");
    }
    assert!(!found.iter().any(|(path, _)| *path == "pit"), "{found:?}");
    assert!(found.iter().any(|(_, what)| *what == "hard links"), "{found:?}");
}

/// An image with one wrong byte.
struct Damaged(StoredImage, u64);

#[async_trait]
impl AddressSpace for Damaged {
    fn len(&self) -> u64 {
        self.0.len()
    }

    async fn read(&self, offset: u64, len: usize) -> std::io::Result<Bytes> {
        let mut bytes = self.0.read(offset, len).await?.to_vec();
        if let Some(byte) = self.1.checked_sub(offset).and_then(|at| bytes.get_mut(at as usize)) {
            *byte ^= 1;
        }
        Ok(bytes.into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wrong_byte_of_a_file_is_found() {
    let bench = Workbench::new().await;
    let (layout, image) = image(&bench).await;
    let at = image.manifest.geometry.metadata_len + 150_000;
    let source = bench.source(&layout).await;
    let damaged = Arc::new(Damaged(image, at));
    let comparison = against_source(damaged, source.as_ref(), &platform(), NO_LIMIT).await.unwrap();
    assert_eq!(comparison.different, 1);
    assert_eq!((comparison.differences[0].path.as_str(), comparison.differences[0].what), ("d/f", "content"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_chunk_is_looked_at_and_bad_ones_are_told() {
    let bench = Workbench::new().await;
    let (_, image) = image(&bench).await;
    let (manifest, store) = (&image.manifest, &bench.store);
    let report =
        chunks(manifest, |chunk| async move { store.get_chunk(RootId::FIRST, &chunk.id).await }).await;
    assert_eq!((report.faulty, report.faults.len()), (0, 0), "{report:?}");
    assert_eq!(report.chunks, manifest.chunks.len() as u64);

    // The bytes of another chunk, however good in themselves.
    let (first, second) = (manifest.chunks[0], manifest.chunks[1]);
    let report = chunks(manifest, |chunk| async move {
        let id = if chunk.id == second.id { first.id } else { chunk.id };
        store.get_chunk(RootId::FIRST, &id).await
    })
    .await;
    assert_eq!(report.faulty, 1);
    assert_eq!((report.faults[0].offset, report.faults[0].id), (second.offset, second.id));
}
