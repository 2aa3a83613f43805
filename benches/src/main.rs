//! Whole-process benchmarks, side by side with the peers and with the ceilings, interleaved in one run.
//!
//! ```text
//! frazil-bench convert --image DIR:TAG    conversion: MB of tar a second, peak memory
//! frazil-bench read    --image DIR:TAG    reading through each face: sequential, random, stat, open
//! ```
//!
//! `benches/images` builds the images, `benches/peers` installs the peers. What is missing is said, not skipped in
//! silence. Results are printed as Markdown, medians with minimum and maximum.

mod conversion;
mod measure;
mod oci;
mod reading;
mod report;
mod workload;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Benchmarks of Frazil, beside its ceilings and its peers")]
struct Cli {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// Conversion of an OCI image: MB of tar a second and peak memory
    Convert(Setup),
    /// Reading a mounted image: sequential, random 4 KiB, stat and open rates
    Read(Setup),
}

/// What every benchmark needs to know.
#[derive(Args)]
struct Setup {
    /// The image: an OCI layout directory and a tag, as `DIR:TAG`
    #[arg(long)]
    image: String,
    /// How often each contender runs
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// The frazil binary
    #[arg(long, default_value = "target/release/frazil")]
    frazil: PathBuf,
    /// Where the peers were installed by `benches/peers`
    #[arg(long, default_value = "target/peers/bin")]
    peers: PathBuf,
    /// Where stores, unpacked trees and mounts go; a directory on a real disk
    #[arg(long, default_value = "target/bench")]
    work_dir: PathBuf,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().benchmark {
        Benchmark::Convert(setup) => conversion::run(&setup),
        Benchmark::Read(setup) => reading::run(&setup),
    }
}
