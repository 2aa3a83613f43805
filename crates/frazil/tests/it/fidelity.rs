//! An image is the tree that `umoci unpack` gives, whatever it was converted from and through whichever face it
//! is seen, in every attribute of every path; and its programs run.
//!
//! Nothing is left out of the comparison: each directory of these images, the root included, is mentioned by a
//! layer, so that nothing in the expected tree is umoci's own invention.

use std::collections::BTreeSet;
use std::fs;

use crate::support::difference::assert_same;
use crate::support::home::Home;
use crate::support::image::Image;
use crate::support::mount::FACES;
use crate::support::objects::digest;
use crate::support::registry::Registry;
use crate::support::tool::{run, tool};
use crate::support::tree::snapshot;
use crate::support::umoci::unpacked;
use crate::support::{images, peer};

/// Converts the image from each transport into a store of its own, and compares faces and block images.
#[track_caller]
fn is_what_umoci_unpacks(image: &Image) {
    let expected = snapshot(&unpacked(image));
    assert!(expected.len() > 5_000, "only {} paths", expected.len());
    let (registry, archives) = (Registry::start(), tempfile::TempDir::new().unwrap());
    let sources = [
        (image.source(), &FACES[..]),
        (image.archive(&archives.path().join("image.tar")), &FACES[..1]),
        (registry.push(image, "frazil/image:latest"), &FACES[1..]),
    ];
    let mut block_images = BTreeSet::new();
    for (source, faces) in sources {
        let home = Home::new();
        home.convert(&source, "image");
        for face in faces {
            let mount = home.mount("image", face);
            assert_same(&expected, &snapshot(mount.root()));
            mount.unmount();
        }
        let block_image = home.export("image");
        // The same bytes once more would say the same once more.
        if block_images.insert(digest(&block_image)) {
            run(tool("fsck.erofs").arg(&block_image));
            assert_same(&expected, &peer::snapshot(&fs::read(block_image).unwrap()));
        }
    }
    assert_eq!(block_images.len(), 1, "the transports differ");
}

#[test]
fn debian_with_python_is_what_umoci_unpacks_from_every_transport_through_both_faces() {
    is_what_umoci_unpacks(&images::debian_python());
}

#[test]
fn debian_with_node_is_what_umoci_unpacks_from_every_transport_through_both_faces() {
    is_what_umoci_unpacks(&images::debian_node());
}

#[test]
fn deleted_replaced_and_retyped_files_are_what_umoci_unpacks_from_every_transport_through_both_faces() {
    is_what_umoci_unpacks(&images::debian_upper());
}

/// What the programs of an image print, in a container and in a root that is nothing but the mount.
#[track_caller]
fn prints(image: &Image, command: &[&str], expected: &str) {
    let home = Home::new();
    home.convert(&image.source(), "image");
    for face in FACES {
        let words = ["run", "--via", face, "--no-summary", "image", "--"];
        assert_eq!(home.says(words.iter().chain(command)), expected, "in a container, {face}");
        let mount = home.mount("image", face);
        assert_eq!(run(tool("chroot").arg(mount.root()).args(command)), expected, "in the mount, {face}");
        mount.unmount();
    }
}

#[test]
fn python_runs_from_an_image() {
    let script = "import ssl, sqlite3, json, decimal; print(json.dumps(str(decimal.Decimal(1) / 7)))";
    prints(&images::debian_python(), &["python3", "-c", script], "\"0.1428571428571428571428571429\"\n");
}

#[test]
fn node_runs_from_an_image() {
    let script = "console.log([1, 2, 3].map(n => n * n).join(), require('os').EOL.length)";
    prints(&images::debian_node(), &["node", "-e", script], "1,4,9 1\n");
}

#[test]
fn a_shell_and_its_tools_run_from_an_image_whose_layers_rearrange_each_other() {
    let script = "set -e; test ! -e /usr/share/doc; cat /etc/issue /etc/gai.conf/now-inside; \
                  ls /usr/share/common-licenses; stat -c %h /usr/bin/env; seq 3 | sort -r | tr '\\n' ' '; \
                  python3 -c 'print(6 * 7)'";
    let expected = "replaced\nwas a file\nONLY\n2\n3 2 1 42\n";
    prints(&images::debian_upper(), &["sh", "-c", script], expected);
}
