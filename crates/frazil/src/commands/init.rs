//! `frazil init`: makes the store and the keys that other commands would make on first use.

use anyhow::Result;
use serde::Serialize;

use crate::cli::Global;
use crate::exit::Exit;
use crate::output;
use crate::wiring::{self, Absent};

/// Make a store and a keyring
///
/// What exists already stays as it is. Converting an image does this too. Whoever loses the keyring loses the
/// images: keep a copy of it.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Print what there is as JSON
    #[arg(long)]
    json: bool,
}

/// The stable document of `--json`.
#[derive(Serialize)]
struct Document {
    store: String,
    store_id: String,
    root: String,
    keys: String,
    scope: String,
    tenant_key: String,
}

/// Makes what is missing.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    wiring::runtime()?.block_on(async {
        let store = wiring::store(global, Absent::Create).await?;
        let keys = wiring::keys(global, Absent::Create)?;
        let document = Document {
            store: store.location().to_string(),
            store_id: store.id().to_string(),
            root: store.active_root().await?.to_string(),
            keys: keys.to_string(),
            scope: wiring::own_scope(&store, &keys).await?.secret.id().to_string(),
            tenant_key: keys.provider.current_key(&keys.tenant).await?,
        };
        if args.json {
            output::json(&document)?;
        } else {
            let Document { store, root, keys, scope, tenant_key, .. } = &document;
            let text = format!(
                "store  {store} (root {root})\nkeys   {keys} (scope {scope}, tenant key {tenant_key})\n"
            );
            output::print(&text)?;
        }
        Ok(Exit::SUCCESS)
    })
}
