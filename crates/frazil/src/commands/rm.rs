//! `frazil rm`: takes a name away.

use anyhow::Result;
use frazil_store::StoreError;

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

/// Removes the names; none of them if nobody has one of them.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    wiring::runtime()?.block_on(async {
        let store = wiring::store(global, Absent::Refuse).await?;
        let mut found = Vec::new();
        for name in &args.names {
            found.push(match wiring::find(&store, &global.tenant()?, name).await {
                Ok((name, _)) => name,
                // What it stands for does not matter any more.
                Err(error) if is_unreadable(&error) => name.parse()?,
                Err(error) => return Err(error),
            });
        }
        for name in &found {
            store.unpublish(&global.tenant()?, name).await?;
        }
        Ok(Exit::SUCCESS)
    })
}

/// Whether the name is there, and only what it stands for cannot be read.
fn is_unreadable(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::Damaged { .. } | StoreError::UnknownFormat { .. }))
}
