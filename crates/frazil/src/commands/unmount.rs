//! `frazil unmount`: ends a mount, and waits for the process behind it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::exit::Exit;
use crate::mount_record::{self, Agent};

/// How long an agent may take to end. It has nothing to finish; this is for a machine under load.
const PATIENCE: Duration = Duration::from_secs(10);

/// Unmount an image
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Where it is mounted
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Unmounts it.
pub(crate) fn execute(args: &Args) -> Result<Exit> {
    let directory = mount_record::canonical(&args.directory)?;
    let agent = Agent::of(&directory)?;
    frazil_mount::unmount(&directory)?;
    if let Some(agent) = agent {
        agent.await_end(&directory, PATIENCE)?;
    }
    Ok(Exit::SUCCESS)
}
