//! The chunk-size sweep: what each way of cutting and compressing would cost on real images and real starts.
//!
//! A start is recorded once, as the pages of each file that a workload leaves in the kernel's page cache when it runs
//! on an EROFS image with an ordinary read-ahead. Each way of cutting is then replayed over that record: no image is
//! mounted twice, and all ways see the same reads. Layers become streams as the converter makes them: file contents in the order of
//! the tar, each file on a block of its own.

mod layers;
mod touched;
mod ways;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use frazil_format::ChunkId;

use crate::cold_start::catalog::{Workload, workload};
use crate::cold_start::layout;
use crate::oci::Layout;
use crate::report::table;
use layers::{Layer, Ranges};
use ways::{Chunks, Way};

/// What the sweep needs to know.
#[derive(Args)]
pub(crate) struct Setup {
    /// Images that share a base only by what it holds, and whose starts are replayed
    #[arg(long, value_delimiter = ',', default_value = "python,pandas,node,java")]
    images: Vec<String>,
    /// Two versions of an image, as tags: OLD,NEW
    #[arg(long, value_delimiter = ',', default_value = "pandas-before,pandas")]
    upgrade: Vec<String>,
    /// The OCI layout that `benches/images` made
    #[arg(long, default_value = "target/bench-images")]
    layout: PathBuf,
    /// Where images are unpacked and records are kept
    #[arg(long, default_value = "target/bench/sweep")]
    work_dir: PathBuf,
    /// Only these averages, in KiB
    #[arg(long, value_delimiter = ',', default_value = "64,128,256,512,1024,2048")]
    sizes_kib: Vec<u32>,
}

/// An image: its layers, lowest first, by their places in the list of all layers.
struct Image {
    name: String,
    layers: Vec<usize>,
    workload: Option<&'static Workload>,
}

/// Runs the sweep and prints its tables.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    std::fs::create_dir_all(&setup.work_dir)?;
    let mut layers: Vec<Layer> = Vec::new();
    let mut images = Vec::new();
    for name in setup.images.iter().chain(&setup.upgrade) {
        if images.iter().any(|image: &Image| image.name == *name) {
            continue;
        }
        let workload = workload(name).ok();
        let opened = match workload {
            Some(workload) => layout(&setup.layout, workload, &setup.work_dir),
            None => Layout::open(&format!("{}:{name}", setup.layout.display())),
        };
        let layout = match opened {
            Ok(layout) => layout,
            Err(error) => {
                eprintln!("{name} is left out (benches/images makes it): {error:#}");
                continue;
            }
        };
        let places = layout.layers.iter().map(|path| Layer::place(&mut layers, path));
        let image = Image { name: name.clone(), layers: places.collect::<anyhow::Result<_>>()?, workload };
        if let Some(workload) = image.workload.filter(|_| setup.images.contains(name)) {
            let pages = touched::pages(workload, &layout, &setup.work_dir)?;
            for (path, ranges) in pages {
                touch(&mut layers, &image, &path, &ranges);
            }
        }
        images.push(image);
    }
    let ways = Way::all(&setup.sizes_kib)?;
    let mut results: Vec<Vec<Chunks>> = ways.iter().map(|_| Vec::new()).collect();
    for layer in &layers {
        let stream = layer.read()?;
        for (way, results) in ways.iter().zip(&mut results) {
            results.push(way.cut(&stream, layer)?);
            eprint!(".");
        }
    }
    eprintln!();
    print(setup, &images, &ways, &results);
    Ok(())
}

/// Marks what a start reads of a file in the stream of the uppermost layer that has it.
fn touch(layers: &mut [Layer], image: &Image, path: &std::path::Path, ranges: &Ranges) {
    for &place in image.layers.iter().rev() {
        if let Some(layer) = layers.get_mut(place)
            && layer.touch(&image.name, path, ranges)
        {
            return;
        }
    }
}

fn print(setup: &Setup, images: &[Image], ways: &[Way], results: &[Vec<Chunks>]) {
    let of = |name: &str| images.iter().find(|image| image.name == name);
    let upgrade =
        setup.upgrade.first().and_then(|old| of(old)).zip(setup.upgrade.get(1).and_then(|new| of(new)));
    let mut columns = vec!["chunks".to_owned(), "stored MB".into(), "alone MB".into(), "upgrade MB".into()];
    columns.extend(["convert MB/s".to_owned()]);
    let starts: Vec<&Image> = images.iter().filter(|image| setup.images.contains(&image.name)).collect();
    for image in &starts {
        columns.push(format!("{} MB", image.name));
        columns.push("requests".into());
        columns.push("decode ms".into());
    }
    let rows: Vec<_> = ways
        .iter()
        .zip(results)
        .map(|(way, layers)| {
            let together = unique(layers, starts.iter().flat_map(|image| &image.layers));
            let alone: u64 = starts.iter().map(|image| sum(&unique(layers, &image.layers))).sum();
            let mut cells = vec![together.len().to_string(), mb(sum(&together)), mb(alone)];
            cells.push(upgrade.map_or_else(
                || "–".to_owned(),
                |(old, new)| {
                    let had = unique(layers, &old.layers);
                    let mut new = unique(layers, &new.layers);
                    new.retain(|id, _| !had.contains_key(id));
                    mb(sum(&new))
                },
            ));
            let (bytes, seconds) =
                layers.iter().fold((0, 0.0), |(b, s), layer| (b + layer.stream_bytes, s + layer.convert_s));
            cells.push(format!("{:.0}", bytes as f64 / 1e6 / seconds));
            for image in &starts {
                let touched =
                    image.layers.iter().filter_map(|&place| layers.get(place)?.touched.get(&image.name));
                let (mut ids, mut bytes, mut decode_s) = (HashSet::<&ChunkId>::new(), 0, 0.0);
                for start in touched {
                    ids.extend(&start.ids);
                    bytes += start.sealed_bytes;
                    decode_s += start.decode_s;
                }
                cells.extend([mb(bytes), ids.len().to_string(), format!("{:.0}", decode_s * 1e3)]);
            }
            (way.to_string(), cells)
        })
        .collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    table("Ways of cutting and compressing, file data only", &columns, &rows);
}

/// The different chunks of some layers, with their sealed lengths.
fn unique<'a>(layers: &[Chunks], places: impl IntoIterator<Item = &'a usize>) -> HashMap<ChunkId, u64> {
    let chosen = places.into_iter().filter_map(|&place| layers.get(place));
    chosen.flat_map(|layer| layer.sealed.iter().copied()).collect()
}

fn sum(chunks: &HashMap<ChunkId, u64>) -> u64 {
    chunks.values().sum()
}

fn mb(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

/// A failure names what was at hand.
fn named<T>(result: std::io::Result<T>, path: &std::path::Path) -> anyhow::Result<T> {
    result.with_context(|| format!("at {}", path.display()))
}
