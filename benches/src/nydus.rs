//! The peer's conversion: a blob for each layer, and the merge that makes an image of them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::measure::{Cost, measure};
use crate::oci::Layout;

/// Converts a layout's layers into `out/blobs` and merges them into `bootstrap`; times add up, the larger memory
/// counts.
pub(crate) fn convert(
    nydus_image: &Path,
    layout: &Layout,
    out: &Path,
    bootstrap: &Path,
) -> anyhow::Result<Cost> {
    let blobs = out.join("blobs");
    std::fs::create_dir(&blobs)?;
    let mut total = Cost::default();
    let mut layers = Vec::new();
    for (number, layer) in layout.layers.iter().enumerate() {
        // `merge` takes the id of a layer's blob from its bootstrap's file name.
        let id = layer.file_name().context("a layer without a name")?;
        let of_layer = out.join(id);
        let cost = measure(
            Command::new(nydus_image)
                .args(["create", "--log-level", "error", "-t", "targz-rafs", "--compressor", "zstd", "-B"])
                .arg(&of_layer)
                .arg("-b")
                .arg(blobs.join(id))
                .arg(layer),
        )
        .with_context(|| format!("layer {number}"))?;
        total = add(total, cost);
        layers.push(of_layer);
    }
    Ok(add(total, measure(&mut merge_command(nydus_image, layers, bootstrap))?))
}

fn merge_command(nydus_image: &Path, layers: impl IntoIterator<Item = PathBuf>, bootstrap: &Path) -> Command {
    let mut merge = Command::new(nydus_image);
    merge.args(["merge", "--log-level", "error", "-B"]).arg(bootstrap).args(layers);
    merge
}

/// Merges converted layers once more, with a list of files that a mount is to fetch first.
pub(crate) fn merge_with_prefetch(
    nydus_image: &Path,
    layers: impl IntoIterator<Item = PathBuf>,
    bootstrap: &Path,
    files: &str,
) -> anyhow::Result<()> {
    let mut merge = merge_command(nydus_image, layers, bootstrap);
    merge.args(["--prefetch-policy", "fs"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut process = merge.spawn().context("cannot start nydus-image")?;
    process.stdin.take().context("standard input was piped")?.write_all(files.as_bytes())?;
    let status = process.wait()?;
    ensure!(status.success(), "nydus-image merge with a list of files failed: {status}");
    Ok(())
}

fn add(a: Cost, b: Cost) -> Cost {
    Cost {
        wall: a.wall + b.wall,
        cpu: a.cpu + b.cpu,
        peak_memory_bytes: a.peak_memory_bytes.max(b.peak_memory_bytes),
    }
}
