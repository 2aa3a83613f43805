//! `frazil key`: the wrapping keys of a tenant.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use frazil_store::{KeyRotation, Rewrapping, StoreError};
use serde::Serialize;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::{Advise, chain};
use crate::output::{self, Table, note};
use crate::wiring::{self, Absent, Keys};

/// Show and rotate the keys that wrap a tenant's images
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(clap::Subcommand, Debug)]
enum KeyCommand {
    /// Make a new wrapping key, and wrap the keys of all the tenant's images with it
    ///
    /// No chunk is read or written. If it is interrupted, or fails for an image, run it again: it goes on with the
    /// key that it made. The old key is kept.
    Rotate {
        /// Print what was done as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the tenant's keys and how many images of this store need each
    List {
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },
}

/// The stable document of `rotate --json`.
#[derive(Serialize)]
struct Rotated {
    key: String,
    new: bool,
    rewrapped: usize,
    failed: BTreeMap<String, String>,
}

/// One key of the stable document of `list --json`, an array.
#[derive(Serialize)]
struct Row {
    key: String,
    state: &'static str,
    images: usize,
}

/// Shows or rotates the keys.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    wiring::runtime()?.block_on(async {
        match &args.command {
            KeyCommand::Rotate { json } => rotate(*json, global).await,
            KeyCommand::List { json } => list(*json, global).await,
        }
    })
}

async fn rotate(json: bool, global: &Global) -> Result<Exit> {
    let store = wiring::store(global, Absent::Refuse).await?;
    let Keys { tenant, provider, keyring } = wiring::keys(global, Absent::Refuse)?;
    let KeyRotation { key, is_new, rewrapping } = store.rotate_key(&tenant, provider.as_ref()).await?;
    let Rewrapping { rewrapped, failed, .. } = rewrapping;
    // These images are sound: a collection takes them along.
    let are_left_behind = failed.iter().all(|(_, error)| matches!(error, StoreError::RootNotActive { .. }));
    let failed: BTreeMap<String, String> =
        failed.into_iter().map(|(name, error)| (name.to_string(), chain(&error.into()))).collect();
    let done = Rotated { key, new: is_new, rewrapped, failed };
    if json {
        output::json(&done)?;
    } else if global.quiet == 0 {
        let verb = if done.new { "made" } else { "went on with" };
        note(format!("{verb} key {}; {rewrapped} images are wrapped by it now", done.key));
        if keyring.is_some() && done.failed.is_empty() {
            note("the old keys are in the keyring's directory retired; other stores may need them still");
        }
    }
    if done.failed.is_empty() {
        return Ok(Exit::SUCCESS);
    }
    let list: Vec<String> = done.failed.iter().map(|(name, error)| format!("{name}: {error}")).collect();
    Err(anyhow!("{} images could not be re-wrapped: {}", list.len(), list.join("; "))).hint(
        match are_left_behind {
            true => {
                "keep the old keys; frazil gc run copies these images into the active root; then run it again"
            }
            false => "keep the old keys, mend or remove these images, then run it again",
        },
    )
}

async fn list(json: bool, global: &Global) -> Result<Exit> {
    let store = wiring::store(global, Absent::Refuse).await?;
    let Keys { tenant, provider, keyring } = wiring::keys(global, Absent::Refuse)?;
    let mut images: BTreeMap<String, usize> = BTreeMap::new();
    let exit = wiring::each_image(&store, &tenant, |_, _, manifest| {
        *images.entry(manifest.wrapped_key().key_id.clone()).or_default() += 1;
    });
    let exit = exit.await?;
    let current = provider.current_key(&tenant).await?;
    let retired = keyring.map(|keyring| keyring.retired(&tenant)).transpose()?.unwrap_or_default();
    let states = std::iter::once((current, "current")).chain(retired.into_iter().map(|key| (key, "retired")));
    let mut rows = Vec::new();
    for (key, state) in states {
        let images = images.remove(&key).unwrap_or_default();
        rows.push(Row { key, state, images });
    }
    rows.extend(images.into_iter().map(|(key, images)| Row { key, state: "elsewhere", images }));
    if json {
        output::json(&rows)?;
        return Ok(exit);
    }
    let mut table = Table::new(&["KEY", "STATE", "IMAGES"]);
    for Row { key, state, images } in rows {
        table.row(vec![key, state.to_owned(), images.to_string()]);
    }
    output::print(&table.render())?;
    Ok(exit)
}
