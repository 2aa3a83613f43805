//! Whole-process benchmarks, side by side with the peers and with the ceilings, interleaved in one run.
//!
//! ```text
//! frazil-bench convert --image DIR:TAG    conversion: MB of tar a second, peak memory
//! frazil-bench read    --image DIR:TAG    reading through each face: sequential, random, stat, open
//! frazil-bench disk-tier                 the disk tier beside foyer (build with --features foyer)
//! frazil-bench policies --trace FILE      eviction policies, replayed over real cold starts
//! frazil-bench tiers   --image DIR:TAG    a chunk from every tier, opened, and read through agents
//! frazil-bench fleet                      hits of the remote tier, healthy, with a slow and a stopped node
//! frazil-bench cold-start                 from an image's name to its workload's line, over a link
//! frazil-bench degraded                   starts from a slow or failing origin, with prefetching and without
//! frazil-bench sweep                     chunk sizes and codecs over recorded starts, sibling images, an upgrade
//! frazil-bench storm                     50 and 200 starts at once, of one image and of ten on one base
//! frazil-bench dedup --base DIR:TAG --image DIR:TAG …   bytes stored under wider and narrower scopes
//! frazil-bench link --link 5ms/1Gbit --to ADDRESS:PORT   a link with a round trip and a bandwidth
//! ```
//!
//! `benches/images` builds the images, `benches/peers` installs the peers. What is missing is said, not skipped in
//! silence. Results are printed as Markdown, medians with minimum and maximum.

mod cold_start;
mod conversion;
mod degraded;
mod disk_tier;
mod fleet;
mod kept;
mod link;
mod measure;
mod nydus;
mod oci;
mod policies;
mod reading;
mod report;
mod sharing;
mod storm;
mod sweep;
mod tiers;
mod unmount;
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
    /// The disk tier beside foyer: fills, hits, restarts, kill -9, eviction
    DiskTier(disk_tier::Setup),
    /// Eviction policies: hit ratios over real cold starts and nightly scans
    Policies(policies::Setup),
    /// The remote tier: latency of hits over five memcached nodes, healthy and not
    Fleet(fleet::Setup),
    /// The cold start, beside everybody, over a link
    ColdStart(cold_start::Setup),
    /// Starts from an origin that is slow or failing, with prefetching and without
    Degraded(degraded::Setup),
    /// Sharing domains: bytes stored for sibling images under wider and narrower scopes
    Dedup(sharing::Setup),
    /// Runs a program in a tree; the benchmarks use it
    #[command(hide = true)]
    Launch(cold_start::launch::Launch),
    /// Chunk sizes and codecs, replayed over recorded starts
    Sweep(sweep::Setup),
    /// Many starts at once on one host, through one host cache
    Storm(storm::Setup),
    /// Every tier, and agents: latency, decoding, throughput, memory
    Tiers(tiers::Setup),
    /// A link with a round trip and a bandwidth to a server, until standard input ends
    Link(link::standalone::Setup),
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
        Benchmark::DiskTier(setup) => disk_tier::run(&setup),
        Benchmark::Policies(setup) => policies::run(&setup),
        Benchmark::Fleet(setup) => fleet::run(&setup),
        Benchmark::ColdStart(setup) => cold_start::run(&setup),
        Benchmark::Degraded(setup) => degraded::run(&setup),
        Benchmark::Dedup(setup) => sharing::run(&setup),
        Benchmark::Launch(launch) => cold_start::launch::run(&launch),
        Benchmark::Sweep(setup) => sweep::run(&setup),
        Benchmark::Storm(setup) => storm::run(&setup),
        Benchmark::Tiers(setup) => tiers::run(&setup),
        Benchmark::Link(setup) => link::standalone::run(&setup),
    }
}
