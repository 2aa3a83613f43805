//! How long a chunk takes from every tier, how long it takes to open, and what an agent makes of it: latency,
//! throughput, memory. One command, each row beside its ceiling and what was published.
//!
//! ```text
//! frazil-bench tiers --image DIR:TAG --out target/tiers.md
//! ```
//!
//! All contenders of a table take turns in each round of one run, so that whatever else the machine does is done to all
//! of them. What is missing (moto for the S3 row) is said and left out.

mod agents;
mod decode;
mod host;
mod latencies;
mod levels;
mod s3;

use std::path::PathBuf;

use clap::Args;

use crate::fleet;

/// The length of a sealed chunk in the tables of tiers, in bytes: the published system's.
const CHUNK_LEN: usize = 512 << 10;

/// What the benchmark needs to know.
#[derive(Args)]
pub(crate) struct Setup {
    /// The image that agents mount: an OCI layout directory and a tag, as `DIR:TAG`; without it no agent is measured
    #[arg(long)]
    image: Option<String>,
    /// How many reads are measured for each row
    #[arg(long, default_value_t = 3000)]
    reads: usize,
    /// In how many rounds the contenders take turns
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many MB of chunks are read from the fleet in a second
    #[arg(long, default_value_t = 50)]
    mb_per_s: u64,
    /// The frazil binary
    #[arg(long, default_value = "target/release/frazil")]
    frazil: PathBuf,
    /// Where stores, caches and mounts go; a directory on a real disk
    #[arg(long, default_value = "target/bench")]
    work_dir: PathBuf,
    /// Writes the tables to this file as well
    #[arg(long)]
    out: Option<PathBuf>,
    /// Serve chunks at a socket, or read them from a bucket: how this benchmark runs itself
    #[arg(long, hide = true)]
    role: Option<String>,
}

/// Runs the benchmark, prints its tables, and writes them where it was told.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    if let Some(role) = &setup.role {
        return match role.split_once('=') {
            Some(("serve", socket)) => host::serve(socket.as_ref()),
            _ => s3::read_as_told(),
        };
    }
    std::fs::create_dir_all(&setup.work_dir)?;
    let mut tables = vec![levels::table(setup)?, decode::table(setup)?];
    let fleet = fleet::Setup {
        mb_per_s: setup.mb_per_s,
        reads: setup.reads,
        rounds: setup.rounds,
        chunk_kib: vec![CHUNK_LEN >> 10],
    };
    tables.extend(fleet::tables(&fleet)?);
    match &setup.image {
        Some(image) => tables.extend(agents::tables(setup, image)?),
        None => eprintln!("no --image DIR:TAG: agents are not measured"),
    }
    let document = tables.concat();
    println!("{document}");
    if let Some(out) = &setup.out {
        std::fs::write(out, document)?;
    }
    Ok(())
}
