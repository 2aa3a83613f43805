//! `frazil rm`: takes a name away.

use anyhow::Result;

use crate::cli::Global;
use crate::exit::Exit;
use crate::wiring::{self, Absent};

/// Remove an image's name
///
/// Its chunks stay, for other images and for the next conversion. What is mounted stays mounted.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The images' names
    #[arg(required = true)]
    names: Vec<String>,
}

/// Removes the names; none if one of them is nobody's.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    wiring::runtime()?.block_on(async {
        let store = wiring::store(global, Absent::Refuse).await?;
        let mut found = Vec::new();
        for name in &args.names {
            found.push(wiring::find(&store, &global.tenant()?, name).await?.0);
        }
        for name in &found {
            store.unpublish(&global.tenant()?, name).await?;
        }
        Ok(Exit::SUCCESS)
    })
}
