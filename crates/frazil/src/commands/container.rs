//! `frazil container`: the process that `frazil run` starts to set a container up. Not for people.

use anyhow::{Context, Result};

use crate::exit::Exit;
use crate::inherited::inherit;
use crate::run::init;

/// Set a container up (started by `frazil run`)
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The socket on which the container is described
    #[arg(long)]
    socket: i32,

    /// The socket over which its terminal goes
    #[arg(long)]
    terminal: i32,
}

/// Becomes the container's outer process.
pub(crate) fn execute(args: &Args) -> Result<Exit> {
    let inherited = |number| inherit(number).context("this command is started by frazil run alone");
    Ok(init::outer(inherited(args.socket)?, inherited(args.terminal)?))
}
