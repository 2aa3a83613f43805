//! umoci, the independent judge of what an image's layers mean as one tree.

use std::path::{Path, PathBuf};

use super::cache::once;
use super::image::Image;
use super::tool::{run, tool};

/// Unpacks an image into the new directory `bundle` and returns its root file system.
#[track_caller]
pub(crate) fn unpack(image: &Image, bundle: &Path) -> PathBuf {
    run(tool("umoci").args(["unpack", "--image", &image.reference()]).arg(bundle));
    bundle.join("rootfs")
}

/// The root file system of one of the cached images, unpacked once and only ever read.
#[track_caller]
pub(crate) fn unpacked(image: &Image) -> PathBuf {
    once(&format!("{}.unpacked", image.tag), |making| {
        unpack(image, &making.join("bundle"));
    })
    .join("bundle/rootfs")
}

/// Appends a tar file to `image` as one more layer, under the new tag `tag`.
#[track_caller]
pub(crate) fn add_layer(image: &Image, tar: &Path, tag: &str) -> Image {
    run(tool("umoci").args(["raw", "add-layer", "--image", &image.reference(), "--tag", tag]).arg(tar));
    Image::new(&image.layout, tag)
}

/// Makes what changed in `bundle` since it was unpacked one more layer, under the new tag `tag`.
#[track_caller]
pub(crate) fn repack(layout: &Path, bundle: &Path, tag: &str) -> Image {
    let image = Image::new(layout, tag);
    run(tool("umoci").args(["repack", "--image", &image.reference()]).arg(bundle));
    image
}

/// An OCI layout with an empty image in it.
#[track_caller]
pub(crate) fn empty(layout: &Path, tag: &str) -> Image {
    let image = Image::new(layout, tag);
    if !layout.exists() {
        run(tool("umoci").arg("init").arg("--layout").arg(layout));
    }
    run(tool("umoci").args(["new", "--image", &image.reference()]));
    image
}

/// Changes an image's config by umoci's own options, such as `--config.cmd`.
#[track_caller]
pub(crate) fn configure(image: &Image, options: &[&str]) {
    run(tool("umoci").args(["config", "--image", &image.reference()]).args(options));
}
