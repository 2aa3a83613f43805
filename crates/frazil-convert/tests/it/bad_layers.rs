//! Bad layers end in an error that says what is wrong and where, and in a store where nothing became visible.

use std::error::Error;

use frazil_convert::source::Digest;
use frazil_convert::{ConvertError, ConvertOptions};
use frazil_store::{Store, StoreLocation, StoreOptions};

use crate::images::{Layout, OCI_CONFIG, Packing, tagged};
use crate::sources::Watched;
use crate::tars::*;
use crate::tools::{run, tool};
use crate::workbench::{Workbench, convert_into, options};

/// The error and all that caused it.
fn chain(error: &ConvertError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Converts layers that must be refused for a reason with this text in it.
#[track_caller]
fn refused(outcome: Result<frazil_convert::Conversion, ConvertError>, reason: &str) -> String {
    let error = outcome.expect_err(reason);
    let text = chain(&error);
    assert!(text.contains(reason), "{text:?} does not say {reason:?}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_archives_are_refused_with_their_place() {
    let good = archive(&[file("a", noise(1, 5000)), file("b", "x")]);
    let mut flipped = good.clone();
    flipped[100] ^= 1;
    let mut lone = archive(&[file("a", "x")])[..1024].to_vec();
    lone.extend([0; 512]);
    lone.extend(archive(&[file("b", "x")]));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (good[..3000].to_vec(), "the archive ends at offset 3000"),
        (good[..512 * 11 + 100].to_vec(), "the archive ends at offset 5732"),
        (flipped, "the checksum does not match"),
        (lone, "a lone zero record"),
        (archive(&[file("a", "x").size(1 << 50)]), "inside of a member"),
        (archive(&[file("a", "x").raw(124, b"nonsense\0\0\0\0")]), "its size is not a number"),
        (archive(&[file("a", "x").pax("size", "999999999999")]), "inside of a member"),
        (archive(&[file("a", "x").pax("size", "-1")]), "the size is not a number"),
        (archive(&[Member::new(b'x', "p").data("99 path=a\n"), file("a", "x")]), "the length of a record"),
        (archive(&[Member::new(b'x', "p").data(record(b"path", b"a\0b")), file("a", "x")]), "contains a NUL"),
        (
            archive(&[Member::new(b'x', "p").data(record(b"path", b"a"))])[..1024].to_vec(),
            "inside of a member",
        ),
        (archive(&[Member::new(b'L', "l").size(2 << 20)]), "over the limit of 1048576"),
        (archive(&[Member::new(b'V', "volume")]), "unknown type 0x56"),
        (archive(&[file([b'n'; 256], "x")]), "longer than 255 bytes"),
        (archive(&[file([b"0123456".as_slice(); 513].join(&b'/'), "x")]), "longer than 4,095 bytes"),
        (archive(&[symlink("l", "")]), "its target is empty"),
        (archive(&[symlink("l", [b't'; 4096])]), "its target is longer"),
        (archive(&[file("./", "x")]), "the root of an image is a directory"),
        (archive(&[file("d/.wh.", "")]), "a whiteout of nothing"),
        (archive(&[file("d/.wh...", "")]), "a whiteout of nothing"),
        (archive(&[file("a", "x").pax("uid", "4294967296")]), "the uid is not a 32-bit number"),
        (archive(&[Member::new(CHAR_DEVICE, "c").device(4096, 0)]), "its device number is too large"),
        (
            archive(&[file("s", "12345").pax("GNU.sparse.map", "0,5,3,1").pax("GNU.sparse.size", "99")]),
            "the extents overlap",
        ),
        (
            archive(&[file("s", "12345").pax("GNU.sparse.map", "0,4").pax("GNU.sparse.size", "99")]),
            "the extents are not as long as the data",
        ),
        (
            archive(&[file("s", "12345")
                .pax("GNU.sparse.major", "1")
                .pax("GNU.sparse.minor", "0")
                .pax("GNU.sparse.realsize", "99")]),
            "the map is longer than the data",
        ),
    ];
    for (layer, reason) in cases {
        let bench = Workbench::new().await;
        let text = refused(bench.layers(&[layer]).await, reason);
        assert!(text.starts_with("cannot convert layer 0 (sha256:"), "{text}");
        assert_eq!(bench.names().await, 0);
    }
}

/// Scanners, umoci and containerd read with Go's `archive/tar`, builders with GNU tar: where those two would see
/// different files in one archive, there is no right reading of it.
#[tokio::test(flavor = "multi_thread")]
async fn archives_that_readers_read_differently_are_refused() {
    let sparse = |name: &str| Member::new(b'0', name).data("12345").pax("GNU.sparse.map", "0,5");
    let gnu = |member: Member| member.raw(257, b"ustar  \0");
    let global = Member::new(b'g', "pax_global_header").data(record(b"comment", b"x"));
    let extended = Member::new(b'x', "p").data(record(b"path", b"seen-by-one"));
    let cases = [
        (vec![file("a", "x").pax("GNU.sparse.name", "b")], "it has the name of a sparse file, and is none"),
        (vec![dir("a").pax("GNU.sparse.name", "b")], "it has the name of a sparse file, and is none"),
        (vec![sparse("s").pax("GNU.sparse.size", "5").pax("GNU.sparse.realsize", "6")], "two real sizes"),
        (vec![sparse("s").pax("GNU.sparse.major", "00")], "the version of a sparse map is not a digit"),
        (vec![gnu(file("a", "x")).raw(345, b"directory")], "a time of its GNU format is not a number"),
        (
            vec![file("a", "x").raw(345, &[b'd'; 140]).raw(508, b"tar\0")],
            "its prefix runs into the times of star's format",
        ),
        (vec![extended, global, file("a", "x")], "a global header stands between"),
    ];
    for (members, reason) in cases {
        let bench = Workbench::new().await;
        refused(bench.layers(&[archive(&members)]).await, reason);
        assert_eq!(bench.names().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_do_not_fit_name_their_layer_and_path() {
    let base = archive(&[dir("d"), file("f", "1"), symlink("l1", "l2"), symlink("l2", "l1")]);
    for (upper, reason) in [
        (hardlink("h", "missing"), "layer 1 (sha256:"),
        (hardlink("h", "missing"), "'h': it is a hard link to 'missing', which does not exist"),
        (hardlink("h", "d"), "it is a hard link to 'd', which is a directory"),
        (hardlink("f", "f"), "it is a hard link to itself"),
        (hardlink("d", "d/gone-with-it"), "which does not exist"),
        (file("l1/x", "1"), "goes through more than 40 symbolic links"),
        (file("f/x", "1"), "goes through something that is not a directory"),
        (hardlink("h", "l2/x"), "goes through more than 40 symbolic links"),
    ] {
        let bench = Workbench::new().await;
        refused(bench.layers(&[base.clone(), archive(&[upper])]).await, reason);
        assert_eq!(bench.names().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_that_are_not_what_their_digests_say_are_refused() {
    let bench = Workbench::new().await;
    let (good, evil) = (archive(&[file("a", noise(1, 90_000))]), archive(&[file("a", noise(2, 90_000))]));

    // The config promises another layer than the manifest has; the blob's own digest is right.
    let layout = Layout::create(&bench.dir.path().join("diff-id"));
    let config = layout.blob(OCI_CONFIG, &crate::images::config("linux/amd64", std::slice::from_ref(&good)));
    let blob = layout.blob(Packing::Gzip.media_type(), &Packing::Gzip.pack(&evil));
    let manifest = layout.manifest(&config, &[blob]);
    layout.index(&[tagged(manifest, "t")]);
    refused(bench.convert(&layout, "t").await, "not the diff id");

    // The difference may lie behind the archive's end marker.
    let layout = Layout::create(&bench.dir.path().join("trailing"));
    let config = layout.blob(OCI_CONFIG, &crate::images::config("linux/amd64", std::slice::from_ref(&good)));
    let trailing = [good.as_slice(), &[0; 512]].concat();
    let blob = layout.blob(Packing::Plain.media_type(), &trailing);
    let manifest = layout.manifest(&config, &[blob]);
    layout.index(&[tagged(manifest, "t")]);
    refused(bench.convert(&layout, "t").await, "not the diff id");

    // A blob that was changed on its way.
    for packing in Packing::ALL {
        let layout = bench.layout(&format!("blob-{packing:?}"), std::slice::from_ref(&good), packing);
        let path = layout.blob_path(&Digest::of(&packing.pack(&good)).to_string());
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() - 1;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = bench.convert(&layout, "t").await.expect_err("a changed blob");
        assert!(matches!(error, ConvertError::Layer { .. }), "{}", chain(&error));
    }
    assert_eq!(bench.names().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_that_do_not_decompress_are_refused() {
    let layer = archive(&[file("a", noise(1, 90_000))]);
    for (packing, damage) in [
        (Packing::Gzip, "truncate"),
        (Packing::Zstd, "truncate"),
        (Packing::Gzip, "garbage"),
        (Packing::Gzip, "none at all"),
    ] {
        let bench = Workbench::new().await;
        let layout = Layout::create(&bench.dir.path().join("layout"));
        let config =
            layout.blob(OCI_CONFIG, &crate::images::config("linux/amd64", std::slice::from_ref(&layer)));
        let packed = packing.pack(&layer);
        let bytes = match damage {
            "truncate" => packed[..packed.len() - 9].to_vec(),
            "garbage" => [packed.as_slice(), b"garbage behind the last member"].concat(),
            _ => noise(9, 5000),
        };
        let blob = layout.blob(packing.media_type(), &bytes);
        let manifest = layout.manifest(&config, &[blob]);
        layout.index(&[tagged(manifest, "t")]);
        refused(bench.convert(&layout, "t").await, "cannot decompress the blob");
        assert_eq!(bench.names().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_members_and_frames_are_one_layer() {
    let layer = archive(&[file("a", noise(1, 90_000)), file("b", noise(2, 5000))]);
    for packing in [Packing::Gzip, Packing::Zstd] {
        let bench = Workbench::new().await;
        let layout = Layout::create(&bench.dir.path().join("layout"));
        let config =
            layout.blob(OCI_CONFIG, &crate::images::config("linux/amd64", std::slice::from_ref(&layer)));
        let mut bytes = [packing.pack(&layer[..40_000]), packing.pack(&layer[40_000..])].concat();
        if packing == Packing::Zstd {
            bytes.extend(b"\x50\x2a\x4d\x18\x03\0\0\0abc");
        }
        let blob = layout.blob(packing.media_type(), &bytes);
        let manifest = layout.manifest(&config, &[blob]);
        layout.index(&[tagged(manifest, "t")]);
        bench.convert(&layout, "t").await.unwrap();
        assert_eq!(bench.image("t").await.tree().await[&b"b"[..]].size, 5000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_of_every_kind_end_at_the_limit_and_name_the_flag() {
    let zeros = archive(&[file("zeros", vec![0; 40 << 20])]);
    let hole = archive(&[file("pit", "x")
        .pax("GNU.sparse.map", "0,1")
        .pax("GNU.sparse.size", (1u64 << 50).to_string())]);
    // Headers alone: no data that would be counted as files.
    let names = archive(&(0..40_000).map(|number| dir(format!("d{number}"))).collect::<Vec<_>>());
    for (layer, what) in [
        (zeros, "the uncompressed layers"),
        (hole, "the files of the image"),
        (names, "the uncompressed layers"),
    ] {
        let bench = Workbench::new().await;
        let layout = bench.layout("layout", &[layer], Packing::Gzip);
        let source = bench.source(&layout).await;
        let options = ConvertOptions { max_image_bytes: 16 << 20, ..options() };
        let error = bench.convert_with(source.as_ref(), "t", &options).await.unwrap_err();
        assert!(
            chain(&error).contains(&format!("{what} exceed the limit of 16777216 bytes")),
            "{}",
            chain(&error)
        );
        assert!(error.hint().unwrap().contains("--max-image-size"));
        assert_eq!(bench.names().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_fails_stops_the_others() {
    let bench = Workbench::new().await;
    let bad = archive(&[Member::new(b'V', "bad")]);
    let slow = archive(&[file("slow", noise(1, 2_000_000))]);
    let layout = bench.layout("layout", &[slow, bad], Packing::Plain);
    // The slow layer hangs half-way: only the other one's failure can end the conversion.
    let source = Watched::hanging_in(bench.source(&layout).await, 0, 1_000_000);
    refused(bench.convert_with(&source, "t", &options()).await, "unknown type");
    assert_eq!(bench.names().await, 0);
}

/// A file system of a few MiB, gone with the value.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        run(tool("mount", "mount").args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"]).arg(dir.path()));
        Self(dir)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = tool("umount", "mount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_and_an_unwritable_one_say_so() {
    let bench = Workbench::new().await;
    let layout = bench.layout("layout", &[archive(&[file("big", noise(1, 20 << 20))])], Packing::Plain);
    let source = bench.source(&layout).await;
    let disk = SmallDisk::mount();
    let location = StoreLocation::directory(disk.0.path().join("store")).unwrap();
    let store = Store::open_or_create(&location, &StoreOptions::default()).await.unwrap();
    let outcome = convert_into(&store, &bench.keyring, source.as_ref(), "t", &options()).await;
    refused(outcome, "No space left on device");
    assert_eq!(store.names("default").await.unwrap(), []);

    run(tool("mount", "mount").args(["-o", "remount,ro"]).arg(disk.0.path()));
    let outcome = convert_into(&store, &bench.keyring, source.as_ref(), "t", &options()).await;
    refused(outcome, "Read-only file system");
    assert_eq!(store.names("default").await.unwrap(), []);
}
