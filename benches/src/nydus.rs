//! The peer's conversion: a blob for each layer, and the merge that makes an image of them.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

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
    let mut merge = Command::new(nydus_image);
    merge.args(["merge", "--log-level", "error", "-B"]).arg(bootstrap);
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
        merge.arg(&of_layer);
    }
    Ok(add(total, measure(&mut merge)?))
}

fn add(a: Cost, b: Cost) -> Cost {
    Cost {
        wall: a.wall + b.wall,
        cpu: a.cpu + b.cpu,
        peak_memory_bytes: a.peak_memory_bytes.max(b.peak_memory_bytes),
    }
}
