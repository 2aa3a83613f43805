//! `frazil scrub`: whether every chunk of a store is what its id names, and how to mend those that are not.

use std::collections::HashSet;
use std::fmt::Write as _;

use anyhow::{Result, anyhow};
use frazil_convert::source::SourceSpec;
use frazil_format::{ChunkId, RootId};
use frazil_store::scrub::{self, BrokenImage, Fault, Scrub, ScrubOptions};
use frazil_store::{ImageName, Store};
use serde::Serialize;

use super::convert::{self, ConversionArgs};
use super::root::number;
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Advise;
use crate::output::{self, bytes};
use crate::size::Size;
use crate::wiring::{self, Absent};

/// Check every chunk of the store against its id, and mend damage from a source
///
/// Needs no key, but with --from. Can be killed at any time: the next scrub goes on. Ends with 1 if an image cannot be
/// read whole, or anything else is damaged.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Read at most this many bytes per second
    #[arg(long, value_name = "SIZE", default_value_t = Size(ScrubOptions::default().bytes_per_second))]
    rate: Size,

    /// Scrub this root alone [default: all that are not deleted]
    #[arg(long, value_name = "ROOT", value_parser = number)]
    root: Option<RootId>,

    /// Convert this image again, and write anew what was found damaged or missing
    #[arg(long, value_name = "SOURCE")]
    from: Option<SourceSpec>,

    /// The name of the image to mend [default: from the source]
    #[arg(long, requires = "from")]
    name: Option<ImageName>,

    /// Print what was found as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    conversion: ConversionArgs,
}

/// The stable document of `--json`.
#[derive(Serialize)]
struct Document {
    sound: bool,
    roots: Vec<Scrub>,
    mended: Option<Mended>,
}

/// What mending came to.
#[derive(Serialize)]
struct Mended {
    name: String,
    manifest: String,
    chunks_written: u64,
    /// Damaged chunks that are sound now.
    chunks_mended: u64,
    /// Damaged chunks that still are; perhaps no image needs them.
    chunks_damaged: u64,
    /// Manifests and layer indexes that still are damaged.
    damaged_records: Vec<Fault>,
    still_broken: Vec<BrokenImage>,
}

/// Scrubs, and mends.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    wiring::runtime()?.block_on(async {
        let store = wiring::store(global, Absent::Refuse).await?;
        let options = ScrubOptions { bytes_per_second: args.rate.0 };
        if args.rate.0 == 0 {
            return Err(anyhow!("a rate of 0 reads nothing")).hint("give one, such as --rate 64M");
        }
        let roots = match args.root {
            Some(root) => vec![root],
            None => scrub::roots(&store).await?,
        };
        let mut scrubs = Vec::new();
        for root in roots {
            store.root_state(root).await?;
            scrubs.push(scrub::scrub(&store, root, &options).await?);
        }
        let mended = match &args.from {
            Some(source) => Some(mend(args, source, &store, &scrubs, global).await?),
            None => None,
        };
        let sound = match &mended {
            Some(Mended { chunks_damaged, damaged_records, still_broken, .. }) => {
                *chunks_damaged == 0 && damaged_records.is_empty() && still_broken.is_empty()
            }
            None => scrubs.iter().all(Scrub::is_sound),
        };
        let document = Document { sound, roots: scrubs, mended };
        if args.json {
            output::json(&document)?;
        } else {
            output::print(&document.in_words())?;
        }
        Ok(if sound { Exit::SUCCESS } else { Exit::FAILURE })
    })
}

async fn mend(
    args: &Args,
    source: &SourceSpec,
    store: &Store,
    scrubs: &[Scrub],
    global: &Global,
) -> Result<Mended> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => source.default_name().parse()?,
    };
    let keys = wiring::keys(global, Absent::Refuse)?;
    let damaged: HashSet<ChunkId> = scrubs.iter().flat_map(Scrub::damaged_chunks).collect();
    let conversion = convert::mend(source, &name, store, &keys, &args.conversion, global, damaged).await?;
    let (mut chunks_mended, mut chunks_damaged) = (0_u64, 0_u64);
    let (mut damaged_records, mut still_broken) = (Vec::new(), Vec::new());
    for scrub in scrubs {
        let before: HashSet<ChunkId> = scrub.damaged_chunks().collect();
        let after = scrub::check_again(store, scrub.root, before.iter().copied()).await?;
        chunks_mended += before.len().saturating_sub(after.len()) as u64;
        chunks_damaged += after.len() as u64;
        damaged_records.extend(scrub::damaged_records(store, scrub.root).await?);
        still_broken.extend(scrub::broken_images(store, scrub.root, &after).await?);
    }
    Ok(Mended {
        name: name.to_string(),
        manifest: conversion.manifest.to_string(),
        chunks_written: conversion.chunks_new,
        chunks_mended,
        chunks_damaged,
        damaged_records,
        still_broken,
    })
}

impl Document {
    fn in_words(&self) -> String {
        let mut text = String::new();
        for scrub in &self.roots {
            for fault in scrub.damaged.iter().chain(&scrub.damaged_records) {
                let _ = writeln!(text, "{}: {}", fault.what, fault.reason);
            }
            for image in &scrub.broken {
                text += &broken_in_words(image);
            }
            let _ = writeln!(
                text,
                "root {}: {} chunks ({}), {} damaged; {} images broken",
                scrub.root,
                scrub.chunks,
                bytes(scrub.bytes),
                scrub.damaged.len(),
                scrub.broken.len()
            );
        }
        if let Some(mended) = &self.mended {
            let _ = writeln!(
                text,
                "mended {}: {} chunks written, {} of the damaged ones are sound now, {} are not",
                mended.name, mended.chunks_written, mended.chunks_mended, mended.chunks_damaged
            );
            for fault in &mended.damaged_records {
                let _ = writeln!(text, "{}: {}", fault.what, fault.reason);
            }
            for image in &mended.still_broken {
                text += &broken_in_words(image);
            }
        }
        text
    }
}

fn broken_in_words(image: &BrokenImage) -> String {
    let BrokenImage { tenant, name, damaged, missing, manifest_fault, .. } = image;
    match manifest_fault {
        Some(fault) => format!("broken: {name} of tenant {tenant}: {fault}\n"),
        None => format!(
            "broken: {name} of tenant {tenant}: {} chunks damaged, {} missing\n",
            damaged.len(),
            missing.len()
        ),
    }
}
