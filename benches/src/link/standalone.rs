//! `frazil-bench link`: a link for other people's experiments.

use std::io::Read;
use std::net::SocketAddr;

use clap::Args;

use super::{Link, LinkSpec};

/// What a link needs to know.
#[derive(Args)]
pub(crate) struct Setup {
    /// Round trip and bandwidth, as `5ms/1Gbit`
    #[arg(long)]
    link: LinkSpec,
    /// The server behind it
    #[arg(long, value_name = "ADDRESS:PORT")]
    to: SocketAddr,
}

/// Prints the address of a link, keeps it open until standard input ends, and prints what has crossed it.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    let mut link = Link::new(setup.link);
    println!("{}", link.open(setup.to)?);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    let traffic = link.traffic();
    let counts = serde_json::json!({
        "down_bytes": traffic.down_bytes, "up_bytes": traffic.up_bytes,
        "connections": traffic.connections, "exchanges": traffic.exchanges,
    });
    println!("{counts}");
    Ok(())
}
