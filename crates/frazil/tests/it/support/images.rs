//! The real images: a Debian base, python3 and nodejs on it, and a layer that rearranges what is below.
//!
//! All are tags of one OCI layout. Each upper layer is what its builder changed in an unpacked copy of the
//! base, so `debian-python` and `debian-node` share their lowest blob.

use std::path::Path;
use std::thread;

use super::cache::once;
use super::debian::Debian;
use super::image::Image;
use super::tool::{run, tool};
use super::{umoci, upper};

const BASE: &str = "debian";
const PYTHON: &str = "debian-python";
const NODE: &str = "debian-node";
const UPPER: &str = "debian-upper";
const PATH: &str = "--config.env=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Debian's essential packages; runs a shell.
pub(crate) fn debian() -> Image {
    tagged(BASE)
}

/// Two layers: the Debian base, and what installing python3 changes. Runs python3.
pub(crate) fn debian_python() -> Image {
    tagged(PYTHON)
}

/// Two layers: the same base, and what installing nodejs changes. Runs node.
pub(crate) fn debian_node() -> Image {
    tagged(NODE)
}

/// `debian-python` under a third layer that deletes, replaces and re-types (see `upper.rs`). Runs python3.
pub(crate) fn debian_upper() -> Image {
    tagged(UPPER)
}

fn tagged(tag: &str) -> Image {
    Image::new(&once("images", make).join("layout"), tag)
}

/// Makes all images in the directory `making`.
fn make(making: &Path) {
    let (layout, tar) = (making.join("layout"), making.join("layer.tar"));
    let debian = Debian::of_this_machine(making);
    debian.base(&tar);
    let base = umoci::add_layer(&umoci::empty(&layout, BASE), &tar, BASE);
    umoci::configure(&base, &["--config.cmd=/bin/sh", PATH]);

    let (python, node) = (making.join("python"), making.join("node"));
    let python_root = umoci::unpack(&base, &python);
    run(tool("cp").arg("-a").arg(&python).arg(&node));
    debian.update(&python_root);
    thread::scope(|scope| {
        scope.spawn(|| debian.install(&python_root, &["python3"]));
        scope.spawn(|| debian.install(&node.join("rootfs"), &["nodejs"]));
    });
    let python = umoci::repack(&layout, &python, PYTHON);
    umoci::configure(&python, &["--clear=config.cmd", "--config.cmd=python3"]);
    let node = umoci::repack(&layout, &node, NODE);
    umoci::configure(&node, &["--clear=config.cmd", "--config.cmd=node"]);

    upper::layer().write(&tar);
    umoci::add_layer(&python, &tar, UPPER);
    tidy(making);
}

/// Leaves nothing but the layout, and in it nothing that no tag needs.
fn tidy(making: &Path) {
    run(tool("umoci").arg("gc").arg("--layout").arg(making.join("layout")));
    for entry in std::fs::read_dir(making).unwrap().map(Result::unwrap) {
        match entry.file_name() == "layout" {
            true => continue,
            false if entry.file_type().unwrap().is_dir() => std::fs::remove_dir_all(entry.path()).unwrap(),
            false => std::fs::remove_file(entry.path()).unwrap(),
        }
    }
}
