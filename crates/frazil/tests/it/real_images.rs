//! The images that other tests convert are what they claim to be, by the judgement of umoci and of the
//! programs in them.

use std::path::Path;

use tempfile::TempDir;

use crate::support::image::Image;
use crate::support::images;
use crate::support::tool::{run, tool};
use crate::support::tree::{Kind, Metadata, Tree, snapshot};
use crate::support::umoci::{unpack, unpacked};
use crate::support::upper::{BIG_OWNER, NET_BIND_CAPABILITY};

#[test]
fn python_and_node_share_their_base_layer_and_run() {
    let (python, node) = (images::debian_python(), images::debian_node());
    assert_eq!(python.layers().len(), 2);
    assert_eq!(node.layers().len(), 2);
    assert_eq!(python.layers()[0], node.layers()[0]);
    assert_eq!(python.layers()[0], images::debian().layers()[0]);

    let python = chroot(&unpacked(&python), &["python3", "-c", "import ssl, sqlite3; print('hello')"]);
    assert_eq!(python, "hello\n");
    let node = chroot(&unpacked(&node), &["node", "-e", "console.log([1, 2, 3].map(n => n * n).join())"]);
    assert_eq!(node, "1,4,9\n");
}

#[test]
fn an_upper_layer_has_only_what_its_builder_changed() {
    let layers = images::debian_python().layers();
    assert!(layers[1].size < layers[0].size, "{layers:?}");
    let listing = run(tool("tar").arg("tzf").arg(images::debian_python().blob(&layers[1].digest)));
    assert!(listing.lines().any(|path| path.trim_start_matches("./") == "usr/bin/python3"), "{listing}");
    assert!(!listing.lines().any(|path| path.trim_start_matches("./") == "usr/bin/env"), "{listing}");
    assert!(!listing.contains(".deb\n"), "{listing}");
}

#[test]
fn the_upper_image_deletes_replaces_and_retypes_what_its_lower_layers_have() {
    let lower = snapshot(&unpacked(&images::debian_python()));
    let upper = snapshot(&unpacked(&images::debian_upper()));
    let (before, after) = (|path: &str| &lower[Path::new(path)], |path: &str| &upper[Path::new(path)]);

    for deleted in ["etc/debian_version", "usr/share/doc", "usr/share/common-licenses/GPL-3"] {
        assert!(lower.contains_key(Path::new(deleted)), "{deleted} was not there to be deleted");
        assert!(!upper.contains_key(Path::new(deleted)), "{deleted} is still there");
    }
    assert!(upper.contains_key(Path::new("usr/share/common-licenses/ONLY")));

    assert_ne!(before("etc/issue").kind, after("etc/issue").kind);
    assert_eq!((after("etc/issue").uid, after("etc/issue").gid), BIG_OWNER);
    assert!(is_directory(before("etc/skel")) && is_file(after("etc/skel")));
    assert!(is_file(before("etc/issue.net")) && is_symlink(after("etc/issue.net")));
    assert!(is_file(before("etc/gai.conf")) && is_directory(after("etc/gai.conf")));
    assert!(is_symlink(before("var/lock")) && is_directory(after("var/lock")));

    let link = after("usr/local/bin/env-by-another-name");
    assert_eq!(link.hardlink_group, after("usr/bin/env").hardlink_group);
    assert_eq!((link.names, before("usr/bin/env").names), (2, 1));
    assert_eq!(chroot(&unpacked(&images::debian_upper()), &["python3", "-c", "print(6 * 7)"]), "42\n");
}

#[test]
fn the_upper_image_has_special_modes_attributes_and_files() {
    let upper = snapshot(&unpacked(&images::debian_upper()));
    let at = |path: &str| &upper[Path::new(path)];
    assert_eq!(at("usr/local/bin/setuid").mode, 0o4755);
    assert_eq!(at("usr/local/share").mode, 0o3775);
    assert_eq!(xattr(&upper, "usr/local/bin/capable", "security.capability"), NET_BIND_CAPABILITY);
    assert_eq!(xattr(&upper, "usr/local/share", "user.frazil"), b"river");
    assert_eq!(xattr(&upper, "usr/local/share/noted", "user.zero"), b"a\0b");
    assert_eq!(at("dev/frazil-char").kind, Kind::CharDevice { major: 1, minor: 3 });
    assert_eq!(at("dev/frazil-block").kind, Kind::BlockDevice { major: 259, minor: 1_000_000 });
    assert_eq!(at("run/frazil-pipe").kind, Kind::Fifo);
    assert_eq!(at("usr/local/bin/setuid").mtime, (1_748_736_000, 123_456_789));
}

#[test]
fn the_image_in_fixtures_prints_its_crystal() {
    let directory = TempDir::new().unwrap();
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/hello.oci.tar");
    let source = format!("oci-archive:{}", archive.display());
    let image = Image::import(&source, &directory.path().join("layout"), "hello");
    assert_eq!(image.layers().len(), 3);
    assert_eq!(image.config()["config"]["User"], "hello");

    let root = unpack(&image, &directory.path().join("bundle"));
    let output = chroot(&root, &["sh", "-c", "cd /srv/hello && PYTHONUTF8=1 exec python3 hello.py"]);
    assert!(output.contains("Hello from Python 3.11"), "{output}");
    assert!(output.contains("grown     607 cells of ice in 19 steps"), "{output}");
    assert!(output.contains("replaced  /etc/motd says: Frazil moves"), "{output}");
    assert!(output.contains("deleted   /usr/share/doc is gone"), "{output}");
}

#[test]
fn an_archive_of_an_image_has_the_same_layers() {
    let directory = TempDir::new().unwrap();
    let archive = images::debian_upper().archive(&directory.path().join("image.tar"));
    let again = Image::import(&archive, &directory.path().join("layout"), "again");
    assert_eq!(again.layers(), images::debian_upper().layers());
}

/// Runs a command in a root that is only read: python would leave its byte code there.
#[track_caller]
fn chroot(root: &Path, command: &[&str]) -> String {
    run(tool("chroot").arg(root).args(command).env("PYTHONDONTWRITEBYTECODE", "1"))
}

#[track_caller]
fn xattr<'a>(tree: &'a Tree, path: &str, name: &str) -> &'a [u8] {
    &tree[Path::new(path)].xattrs[std::ffi::OsStr::new(name)]
}

fn is_file(node: &Metadata) -> bool {
    matches!(node.kind, Kind::File { .. })
}

fn is_directory(node: &Metadata) -> bool {
    node.kind == Kind::Directory
}

fn is_symlink(node: &Metadata) -> bool {
    matches!(node.kind, Kind::Symlink { .. })
}
