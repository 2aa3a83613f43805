//! What sharing domains cost: sibling images on one base, stored under scopes that are wider and narrower.
//!
//! Every way starts with an empty store and ends with all images in it. What is counted are the sealed chunks: what
//! the images would take without any dedup (the sum over their manifests), and what lies in the store.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::Value;

use crate::conversion::stored_bytes;

/// What the benchmark needs to know.
#[derive(Args)]
pub(crate) struct Setup {
    /// The sibling images: OCI layout directories and tags, as `DIR:TAG`
    #[arg(long = "image", required = true)]
    images: Vec<String>,
    /// The public base that they stand on
    #[arg(long)]
    base: String,
    /// The frazil binary
    #[arg(long, default_value = "target/release/frazil")]
    frazil: PathBuf,
    /// Where the stores go
    #[arg(long, default_value = "target/bench")]
    work_dir: PathBuf,
}

/// How images are divided among tenants.
#[derive(Clone, Copy)]
enum Division {
    /// All are one tenant's.
    One,
    /// By turns one of two tenants'.
    Two,
    /// Each is a tenant's of its own.
    Each,
}

#[derive(Clone, Copy, PartialEq)]
enum Bases {
    Public,
    Private,
}

struct Way {
    name: &'static str,
    division: Division,
    bases: Bases,
    compression: &'static str,
}

const WAYS: [Way; 6] = [
    Way {
        name: "one scope for all images",
        division: Division::One,
        bases: Bases::Private,
        compression: "zstd:3",
    },
    Way {
        name: "one scope for all images, compression none",
        division: Division::One,
        bases: Bases::Private,
        compression: "none",
    },
    Way {
        name: "two tenants, public bases shared",
        division: Division::Two,
        bases: Bases::Public,
        compression: "zstd:3",
    },
    Way {
        name: "two tenants, nothing shared",
        division: Division::Two,
        bases: Bases::Private,
        compression: "zstd:3",
    },
    Way {
        name: "a scope per image, public bases shared",
        division: Division::Each,
        bases: Bases::Public,
        compression: "zstd:3",
    },
    Way {
        name: "a scope per image, nothing shared",
        division: Division::Each,
        bases: Bases::Private,
        compression: "zstd:3",
    },
];

/// Runs the benchmark and prints its table.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    std::fs::create_dir_all(&setup.work_dir)?;
    println!("{} sibling images on {}\n", setup.images.len(), setup.base);
    println!("| scopes | images, MB | stored, MB | saved by dedup | read from sources, MB |");
    println!("|---|---:|---:|---:|---:|");
    for way in &WAYS {
        let Outcome { images, stored, read } = once(setup, way)?;
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let saved = 100.0 * (1.0 - stored as f64 / images as f64);
        println!("| {} | {:.1} | {:.1} | {saved:.1} % | {:.1} |", way.name, mb(images), mb(stored), mb(read));
    }
    Ok(())
}

#[derive(Default)]
struct Outcome {
    /// Sealed bytes of every image on its own.
    images: u64,
    /// Sealed bytes in the store.
    stored: u64,
    /// Bytes of blobs that were read.
    read: u64,
}

fn once(setup: &Setup, way: &Way) -> anyhow::Result<Outcome> {
    let place = tempfile::tempdir_in(&setup.work_dir)?;
    let frazil = |words: &[&str]| -> anyhow::Result<Value> {
        let mut command = Command::new(&setup.frazil);
        command.arg("--store").arg(place.path().join("store")).arg("--keys").arg(place.path().join("keys"));
        let output = command.args(words).output().context("cannot start frazil")?;
        ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
    };
    if way.bases == Bases::Public {
        frazil(&["base", "add", &format!("oci:{}", setup.base)])?;
    }
    let mut outcome = Outcome::default();
    let mut tenants = HashMap::new();
    for (number, image) in setup.images.iter().enumerate() {
        let tenant = match way.division {
            Division::One => "one".to_owned(),
            Division::Two => format!("tenant-{}", number % 2),
            Division::Each => format!("tenant-{number}"),
        };
        if tenants.insert(tenant.clone(), ()).is_none() {
            frazil(&["scope", "create", &tenant, "--compression", way.compression])?;
        }
        let (name, source) = (number.to_string(), format!("oci:{image}"));
        let done = frazil(&["--tenant", &tenant, "convert", "--json", "--name", &name, &source])?;
        let shown = frazil(&["--tenant", &tenant, "inspect", "--json", &name])?;
        outcome.read += done["source_bytes"].as_u64().unwrap_or_default();
        outcome.images += shown["total"]["sealed_bytes"].as_u64().unwrap_or_default();
    }
    outcome.stored = stored_bytes(&place.path().join("store/roots/00000001/chunks"))?;
    Ok(outcome)
}
