//! `frazil base`: the allow-list of public base layers.

use anyhow::{Context, Result, anyhow};
use frazil_convert::source;
use frazil_format::{Compression, DiffId};
use frazil_store::{SHARED_SCOPE, Scope, Store};
use serde::Serialize;

use super::convert::{ConversionArgs, source_of};
use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Advise;
use crate::output::{self, Table, note};
use crate::wiring::{self, Absent, Keys};

/// Choose the public layers, whose chunks all tenants share
///
/// Layers of public base images (by diff id, whatever image they appear in) are sealed for the scope that all tenants
/// share; everything else for its tenant's own. Never add what is not public: whoever has the shared scope's secret
/// could then test what is in it. Images that are there already keep their chunks as they are.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: BaseCommand,
}

#[derive(clap::Subcommand, Debug)]
enum BaseCommand {
    /// Add every layer of an image
    Add(ImageArgs),
    /// Remove every layer of an image, or one layer (sha256:DIFF-ID)
    Remove(ImageArgs),
    /// List the public layers
    List {
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args, Debug)]
struct ImageArgs {
    /// A source, as for convert; or the name of an image in the store
    image: String,

    /// Print what became of each layer as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    conversion: ConversionArgs,
}

/// One layer of the stable document of `--json`, an array.
#[derive(Serialize)]
struct Row {
    diff_id: String,
    image: String,
}

/// Adds, removes or lists public layers.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    wiring::runtime()?.block_on(async {
        match &args.command {
            BaseCommand::Add(image) => add(image, global).await,
            BaseCommand::Remove(image) => remove(image, global).await,
            BaseCommand::List { json } => list(*json, global).await,
        }?;
        Ok(Exit::SUCCESS)
    })
}

async fn add(args: &ImageArgs, global: &Global) -> Result<()> {
    let store = wiring::store(global, Absent::Create).await?;
    let keys = wiring::keys(global, Absent::Create)?;
    let layers = layers(args, &store, &keys).await?;
    let provider = keys.provider.as_ref();
    store.create_scope(SHARED_SCOPE, provider, Compression::default()).await?;
    let shared = store.scope(SHARED_SCOPE, provider).await?;
    let mut rows = Vec::new();
    for diff_id in layers {
        store.add_base(&shared.secret, &diff_id, &args.image).await?;
        rows.push(Row { diff_id: diff_id.to_string(), image: args.image.clone() });
    }
    tell(&rows, args.json, "public", global)
}

async fn remove(args: &ImageArgs, global: &Global) -> Result<()> {
    let store = wiring::store(global, Absent::Refuse).await?;
    let layers = match args.image.strip_prefix("sha256:") {
        Some(diff_id) => vec![diff_id.parse()?],
        None => layers(args, &store, &wiring::keys(global, Absent::Refuse)?).await?,
    };
    let mut rows = Vec::new();
    for diff_id in layers {
        if store.remove_base(&diff_id).await? {
            rows.push(Row { diff_id: diff_id.to_string(), image: args.image.clone() });
        }
    }
    if rows.is_empty() {
        return Err(anyhow!("no layer of {} is on the list", args.image)).hint("frazil base list");
    }
    tell(&rows, args.json, "private from now on", global)
}

async fn list(json: bool, global: &Global) -> Result<()> {
    let store = wiring::store(global, Absent::Refuse).await?;
    let bases = match store.scope_record(SHARED_SCOPE).await? {
        None => Vec::new(),
        Some(_) => {
            let keys = wiring::keys(global, Absent::Refuse)?;
            let Scope { secret, .. } = store.scope(SHARED_SCOPE, keys.provider.as_ref()).await?;
            store.bases(&secret).await?
        }
    };
    let rows = bases.into_iter().map(|base| Row { diff_id: base.diff_id.to_string(), image: base.image });
    let rows: Vec<Row> = rows.collect();
    if json {
        return output::json(&rows);
    }
    let mut table = Table::new(&["LAYER", "ADDED WITH"]);
    for Row { diff_id, image } in rows {
        table.row(vec![format!("sha256:{diff_id}"), image]);
    }
    output::print(&table.render())
}

/// The layers of a source, by its config; or of an image of the tenant's, by its authentic manifest.
async fn layers(args: &ImageArgs, store: &Store, keys: &Keys) -> Result<Vec<DiffId>> {
    if let Some(spec) = source_of(&args.image)? {
        let source = source::open(&spec, &args.conversion.source_options()).await?;
        let image = source.resolve(&args.conversion.platform()).await?;
        return Ok(image.layers.iter().map(|layer| layer.diff_id).collect());
    }
    let (name, reference) = wiring::find(store, &keys.tenant, &args.image).await?;
    let sealed = wiring::sealed_manifest(store, &reference).await?;
    let manifest = wiring::open_manifest(&name, &reference, &sealed, keys).await?;
    Ok(manifest.geometry.layers.iter().map(|layer| layer.diff_id).collect())
}

fn tell(rows: &[Row], json: bool, what: &str, global: &Global) -> Result<()> {
    if json {
        return output::json(&rows).context("cannot print");
    }
    if global.quiet == 0 {
        for Row { diff_id, .. } in rows {
            note(format!("sha256:{diff_id} is {what}"));
        }
    }
    Ok(())
}
