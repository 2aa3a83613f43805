//! Sources that are broken, lie, or attack: each is refused in words, and leaves a store in which nothing new can
//! be seen and nothing old has changed; or it is contained, and means what umoci says it means.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tar::EntryType;

use crate::support::difference::assert_same;
use crate::support::forged::{Member, archive, record};
use crate::support::home::Home;
use crate::support::image::Image;
use crate::support::images;
use crate::support::layout::{GZIP, Layout, TAR, digest, gzip};
use crate::support::mount::FACES;
use crate::support::objects::Objects;
use crate::support::registry::Registry;
use crate::support::tree::snapshot;
use crate::support::umoci::unpack;

/// A home whose store has one good image, and a layout for bad ones.
struct Scene {
    home: Home,
    layout: Layout,
    before: Objects,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new();
        let layout = Layout::create(&home.path("layout"));
        let good = layout.image("good", &[&archive([Member::file("file", &noise(1, 300_000))])]);
        home.convert(&good.source(), "good");
        let before = Objects::of(home.store());
        Self { home, layout, before }
    }

    /// The source is refused for this reason with this hint, and the store is as it was.
    #[track_caller]
    fn refuses(&self, source: &str, options: &[&str], error: &str, hint: &str) {
        let words = ["convert", "--plain-http", "--name", "bad"];
        let refusal = self.home.refuses(words.iter().chain(options).chain([&source]));
        refusal.is(1, error, hint);
        assert_eq!(self.home.images(), ["good"], "{error}");
        let after = Objects::of(self.home.store());
        assert!(self.before.are_all_in(&after), "an object that was there changed: {error}");
        for kind in ["names", "manifests"] {
            assert!(after.of_kind(kind).since(&self.before).len() == 0, "a new one of {kind}: {error}");
        }
    }

    /// A layer above a plain one is refused.
    #[track_caller]
    fn refuses_layer(&self, layer: &[u8], error: &str, hint: &str) {
        let base =
            archive([Member::directory("d"), Member::file("f", b"1"), Member::symlink("loop", "loop")]);
        let image = self.layout.image(&format!("bad-{}", digest(layer)), &[&base, layer]);
        self.refuses(&image.source(), &["--max-image-size", "64M"], error, hint);
    }

    /// A blob that is not what its descriptor or its image's config says is refused.
    #[track_caller]
    fn refuses_blob(&self, diff_id: String, blob: Value, error: &str) {
        let image = self.layout.image_of(&format!("bad-{error}").replace(' ', "-"), &[diff_id], &[blob]);
        self.refuses(&image.source(), &[], error, "");
    }
}

impl Drop for Scene {
    /// After every story the good image is still good.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.home.verify("good");
            for face in FACES {
                let mount = self.home.mount("good", face);
                assert_eq!(fs::read(mount.path("file")).unwrap(), noise(1, 300_000));
            }
        }
    }
}

/// Bytes that do not compress, the same for the same seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

#[test]
fn truncated_and_corrupt_archives_are_refused() {
    let scene = Scene::new();
    let good = archive([Member::file("a", &noise(2, 70_000)), Member::file("b", b"x")]);
    scene.refuses_layer(&good[..50_000], "the archive ends at offset 50000, inside of a member", "");
    let mut flipped = good.clone();
    flipped[100] ^= 1;
    scene.refuses_layer(&flipped, "the checksum does not match", "");
    scene.refuses_layer(&noise(3, 5_000), "the header at offset 0 is invalid", "");

    let packed = gzip(&good);
    for (bytes, error) in [
        (&packed[..packed.len() - 9], "cannot decompress the blob"),
        (&[&packed[..], b"garbage"].concat(), "cannot decompress the blob: "),
        (&noise(4, 5_000), "cannot decompress the blob: invalid"),
    ] {
        scene.refuses_blob(digest(&good), scene.layout.blob(GZIP, bytes), error);
    }
}

#[test]
fn whole_archives_that_are_truncated_compressed_or_something_else_are_refused() {
    let scene = Scene::new();
    let archive_file = scene.home.path("archive.tar");
    let source = images::debian().archive(&archive_file);
    let bytes = fs::read(&archive_file).unwrap();

    fs::write(&archive_file, &bytes[..bytes.len() / 2]).unwrap();
    scene.refuses(&source, &[], "archive.tar", "");
    fs::write(&archive_file, gzip(&bytes[..1 << 20])).unwrap();
    scene.refuses(&source, &[], "is compressed with gzip", "gunzip --keep");
    fs::write(&archive_file, noise(5, 100_000)).unwrap();
    scene.refuses(&source, &[], "is not a readable tar archive", "");
    fs::write(&archive_file, archive([Member::file("manifest.json", b"[{")])).unwrap();
    scene.refuses(&source, &[], "is not an OCI layout", "");
    let docker = source.replace("oci-archive:", "docker-archive:").replace(":debian", "");
    scene.refuses(&docker, &[], "malformed", "");
    fs::remove_file(&archive_file).unwrap();
    scene.refuses(&source, &[], "No such file or directory", "");
}

#[test]
fn bytes_that_are_not_what_a_digest_says_are_refused() {
    let scene = Scene::new();
    let (honest, other) =
        (archive([Member::file("a", b"honest")]), archive([Member::file("a", &noise(6, 9_000))]));
    scene.refuses_blob(digest(&honest), scene.layout.blob(GZIP, &gzip(&other)), "not the diff id");

    // A blob that was changed where it lies: a bit, too short, too long, gone.
    let blob = scene.layout.blob(TAR, &other);
    let file = scene.layout.blob_path(blob["digest"].as_str().unwrap());
    let mut flipped = other.clone();
    flipped[5_000] ^= 1;
    for (bytes, error) in [
        (flipped, "the digest is sha256:"),
        (other[..8_000].to_vec(), "8000 bytes instead of"),
        ([&other[..], &[0; 512]].concat(), "more than the promised"),
    ] {
        fs::write(&file, bytes).unwrap();
        scene.refuses_blob(digest(&other), blob.clone(), error);
    }
    fs::remove_file(&file).unwrap();
    scene.refuses_blob(digest(&other), blob, "has no 'blobs/sha256/");

    // And the documents above the layers.
    let image = scene.layout.image("documents", &[&honest]);
    let index: Value = serde_json::from_slice(&fs::read(image.layout.join("index.json")).unwrap()).unwrap();
    let manifest = index["manifests"].as_array().unwrap().last().unwrap()["digest"].as_str().unwrap();
    let path = scene.layout.blob_path(manifest);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("schemaVersion", "schemaVersioN")).unwrap();
    scene.refuses(&image.source(), &[], "is corrupt: the digest is", "");
}

#[test]
fn an_image_that_the_source_has_not_is_refused_with_what_it_has() {
    let scene = Scene::new();
    let good = Image::new(&scene.home.path("layout"), "good");
    let layout = good.layout.display();
    scene.refuses(&format!("oci:{layout}:goood"), &[], "has no image 'goood'; it has: good", "");
    scene.refuses(&format!("oci:{layout}/nowhere"), &[], "is not an OCI layout", "");

    let arm = json!({ "os": "linux", "architecture": "riscv64" });
    let mut manifest = scene.layout.blob("application/vnd.oci.image.manifest.v1+json", b"{}");
    manifest["platform"] = arm;
    let list = json!({ "schemaVersion": 2, "manifests": [manifest] });
    let index = "application/vnd.oci.image.index.v1+json";
    scene.layout.tag("list", scene.layout.blob(index, &serde_json::to_vec(&list).unwrap()));
    let list = format!("oci:{layout}:list");
    scene.refuses(
        &list,
        &[],
        "no image for linux/amd64; there is: linux/riscv64",
        "pass --platform linux/riscv64",
    );
    scene.refuses(&list, &["--platform", "windows/amd64"], "no image for windows/amd64", "--platform");
}

#[test]
fn a_registry_that_is_not_there_or_has_not_the_image_is_refused() {
    let (scene, registry) = (Scene::new(), Registry::start());
    let missing = format!("docker://{}/no/such:tag", registry.address());
    scene.refuses(&missing, &[], &format!("registry {} has no", registry.address()), "");
    let gone = registry.address().to_owned();
    drop(registry);
    scene.refuses(&format!("docker://{gone}/a:b"), &[], &format!("cannot reach registry {gone}"), "");
}

#[test]
fn names_links_and_records_that_no_tree_can_have_are_refused_by_layer_and_path() {
    let scene = Scene::new();
    let with_path = |path: &[u8]| archive([Member::pax(&record("path", path)), Member::file("short", b"x")]);
    let with_record = |records: &[u8]| archive([Member::pax(records), Member::file("f", b"x")]);
    for (layer, error) in [
        (
            archive([Member::hardlink("h", "missing")]),
            "'h': it is a hard link to 'missing', which does not exist",
        ),
        (archive([Member::hardlink("h", "d")]), "it is a hard link to 'd', which is a directory"),
        (
            archive([Member::file("loop/x", b"1")]),
            "'loop/x': its path goes through more than 40 symbolic links",
        ),
        (archive([Member::hardlink("h", "loop/x")]), "goes through more than 40 symbolic links"),
        (archive([Member::file("f/x", b"1")]), "goes through something that is not a directory"),
        (archive([Member::new(EntryType::new(b'V'), b"volume")]), "unknown type 0x56"),
        (archive([Member::new(EntryType::Symlink, b"l")]), "its target is empty"),
        (with_path(&[b'n'; 256]), "longer than 255 bytes"),
        (with_path(&b"0123456/".repeat(600)), "longer than 4,095 bytes"),
        (with_path(b"a\0b"), "contains a NUL"),
        (with_record(b"99 path=a\n"), "the length of a record"),
        (with_record(&record("size", b"-1")), "the size is not a number"),
        (with_record(&record("size", b"999999999999")), "inside of a member"),
        (with_record(&record("uid", b"4294967296")), "the uid is not a 32-bit number"),
        (archive([Member::new(EntryType::XHeader, b"pax").size(2 << 20)]), "over the limit of 1048576"),
        (archive([Member::file("f", b"x").size(1 << 40)]), "inside of a member"),
    ] {
        scene.refuses_layer(&layer, error, "");
    }
    // The place is told too.
    let layer = archive([Member::hardlink("g", "missing")]);
    scene.refuses_layer(&layer, &format!("layer 1 ({}), 'g': it is", digest(&layer)), "");
}

#[test]
fn bombs_and_images_over_the_limit_are_refused_by_the_flag_that_raises_it() {
    let scene = Scene::new();
    let limit = ["--max-image-size", "16M"];
    let (error, hint) = ("exceed the limit of 16777216 bytes", "raise the limit with --max-image-size");

    // 128 MiB in 128 KiB; 1 PiB in one sparse member; directories without a byte of data.
    let bomb = archive([Member::file("zeros", &vec![0; 128 << 20])]);
    let bomb = scene.layout.gzip_image("bomb", &bomb);
    assert!(bomb.layers()[0].size < 1 << 20);
    scene.refuses(&bomb.source(), &limit, error, hint);
    let records = [record("GNU.sparse.map", b"0,1"), record("GNU.sparse.size", b"1125899906842624")].concat();
    let pit = archive([Member::pax(&records), Member::file("pit", b"x")]);
    scene.refuses(&scene.layout.image("pit", &[&pit]).source(), &limit, error, hint);
    let names = archive((0..40_000).map(|number| Member::directory(&format!("d{number}"))));
    scene.refuses(&scene.layout.image("names", &[&names]).source(), &limit, error, hint);

    scene.refuses(&images::debian().source(), &limit, error, hint);
    let run = ["run", "--max-image-size", "16M", &images::debian().source()];
    scene.home.refuses(run).is(125, error, hint);
    assert_eq!(scene.home.images(), ["good"]);
}

/// The layers mean what umoci says, and nothing was written outside of a store.
#[track_caller]
fn is_contained(scene: &Scene, layers: &[Vec<u8>], outside: &[&Path]) {
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    let image = scene.layout.image(&format!("contained-{}", digest(&layers.concat())), &layers);
    scene.home.convert(&image.source(), "contained");
    let bundle = tempfile::TempDir::new().unwrap();
    let mut expected = snapshot(&unpack(&image, &bundle.path().join("bundle")));
    // The layers do not mention the root, nor the parents that they imply: what umoci makes has the present time.
    let epoch = i64::try_from(crate::support::layer::MTIME.0).unwrap();
    for face in FACES {
        let mount = scene.home.mount("contained", face);
        let mut found = snapshot(mount.root());
        for (path, node) in &mut expected {
            if node.mtime.0 > epoch {
                let found = found.get_mut(path).unwrap_or_else(|| panic!("{} is missing", path.display()));
                node.mtime = found.mtime;
            }
        }
        assert_same(&expected, &found);
    }
    for path in outside {
        assert!(fs::symlink_metadata(path).is_err(), "{} was made on the host", path.display());
    }
    scene.home.says(["rm", "contained"]);
}

#[test]
fn paths_that_escape_end_inside_of_the_root() {
    let scene = Scene::new();
    let outside = tempfile::Builder::new().prefix("fz").tempdir().unwrap();
    let host = outside.path().to_str().unwrap();
    let target = outside.path().join("escaped");
    let up = format!("../../../../../../../..{host}/escaped");
    let into = format!("out/{}", "escaped");
    for layers in [
        vec![archive([Member::file(target.to_str().unwrap(), b"absolute")])],
        vec![archive([Member::file(&up, b"upward")])],
        vec![archive([Member::symlink("out", host), Member::file(&into, b"through a link")])],
        vec![
            archive([Member::symlink("out", &format!("../../../..{host}"))]),
            archive([Member::file(&into, b"through a link of a layer below")]),
        ],
        vec![archive([
            Member::file("inside", b"x"),
            Member::symlink("out", host),
            Member::hardlink(&into, "inside"),
        ])],
        vec![archive([
            Member::symlink("a", "b"),
            Member::symlink("b", "a"),
            Member::symlink("self", "self/x"),
        ])],
    ] {
        is_contained(&scene, &layers, &[&target]);
    }
}

#[test]
fn a_hard_link_to_a_file_of_the_host_shows_nothing_of_it() {
    let scene = Scene::new();
    let outside = tempfile::Builder::new().prefix("fz").tempdir().unwrap();
    let secret = outside.path().join("secret");
    fs::write(&secret, "the host's").unwrap();
    scene.refuses_layer(
        &archive([Member::hardlink("h", secret.to_str().unwrap())]),
        "secret', which does not exist",
        "",
    );
}
