//! `frazil-bench link`: a link for other people's experiments.

use std::io::Read;
use std::net::SocketAddr;

use clap::Args;

use super::{Link, LinkSpec, Trouble};

/// What a link needs to know.
#[derive(Args)]
pub(crate) struct Setup {
    /// Round trip and bandwidth, as `5ms/1Gbit`
    #[arg(long)]
    link: LinkSpec,
    /// The server behind it
    #[arg(long, value_name = "ADDRESS:PORT")]
    to: SocketAddr,
    /// What is wrong with it: late=100ms, narrow=8Mbit, fails=1/5, stalls=1/50, refuses=/PATH, swallows=/PATH,
    /// halts=/PATH
    #[arg(long)]
    trouble: Option<Trouble>,
}

/// Prints the address of a link, keeps it open until standard input ends, and prints what has crossed it.
pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    let mut link = Link::new(setup.link);
    link.suffer(setup.trouble.clone(), 0);
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
