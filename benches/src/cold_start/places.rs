//! Where a benchmark of starts finds what it starts, and keeps what it made for that.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use clap::Args;

use super::catalog::Workload;
use super::scene::Tools;
use crate::measure::measure;
use crate::oci::Layout;

/// The places, as they are said.
#[derive(Args)]
pub(crate) struct Places {
    /// The OCI layout that `benches/images` made
    #[arg(long, default_value = "target/bench-images")]
    layout: PathBuf,
    /// The frazil binary
    #[arg(long, default_value = "target/release/frazil")]
    frazil: PathBuf,
    /// Where the peers were installed by `benches/peers`
    #[arg(long, default_value = "target/peers/bin")]
    peers: PathBuf,
    /// Where servers, stores and unpacked trees are kept from run to run; a directory on a real disk
    #[arg(long, default_value = "target/bench/cold-start-images")]
    work_dir: PathBuf,
}

impl Places {
    /// The directory that is kept from run to run, made if need be.
    pub(crate) fn work(&self) -> anyhow::Result<PathBuf> {
        std::fs::create_dir_all(&self.work_dir)?;
        Ok(self.work_dir.canonicalize()?)
    }

    /// The programs that are started.
    pub(crate) fn tools(&self) -> anyhow::Result<Tools> {
        let frazil = self.frazil.canonicalize().with_context(|| {
            format!("there is no {}: cargo build --release -p frazil", self.frazil.display())
        })?;
        let build = build(&frazil)?;
        Ok(Tools { frazil, peers: std::path::absolute(&self.peers)?, build })
    }

    /// The layout that holds a workload's image.
    pub(crate) fn layout(&self, workload: &Workload, work: &Path) -> anyhow::Result<Layout> {
        layout(&self.layout, workload, work)
    }
}

/// The layout that holds a workload's image; the fixture becomes one on the way.
pub(crate) fn layout(images: &Path, workload: &Workload, work: &Path) -> anyhow::Result<Layout> {
    if workload.name != "hello" {
        return Layout::open(&format!("{}:{}", images.display(), workload.tag))
            .with_context(|| format!("no image: benches/images {} {}", images.display(), workload.tag));
    }
    let layout = work.join("fixture");
    if !layout.join("index.json").exists() {
        let to = format!("oci:{}:{}", layout.display(), workload.tag);
        let fixture = concat!("oci-archive:", env!("CARGO_MANIFEST_DIR"), "/../fixtures/hello.oci.tar");
        measure(Command::new("skopeo").args(["copy", "--quiet", fixture, &to]))
            .context("skopeo runs: install the package skopeo")?;
    }
    Layout::open(&format!("{}:{}", layout.display(), workload.tag))
}

/// A short name of a program's build.
fn build(program: &Path) -> anyhow::Result<String> {
    let digest = <sha2::Sha256 as sha2::Digest>::digest(std::fs::read(program)?);
    Ok(digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}
