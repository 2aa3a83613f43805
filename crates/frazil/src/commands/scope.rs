//! `frazil scope`: the sharing domains of a store.

use anyhow::{Result, anyhow};
use frazil_format::Compression;
use frazil_store::{Put, SHARED_SCOPE, ScopeRecord};
use serde::Serialize;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::Advise;
use crate::output::{self, Table, note};
use crate::wiring::{self, Absent};

/// Make and show sharing domains
///
/// A tenant's own scope has its name; the one of public base layers is called shared. Chunks are shared inside a scope
/// and never across two. Scopes are made when they are first needed; make one yourself to choose how it compresses.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: ScopeCommand,
}

#[derive(clap::Subcommand, Debug)]
enum ScopeCommand {
    /// Make a scope
    Create {
        /// A tenant's name, or shared
        name: String,

        /// How its chunks are compressed: none costs room and hides what compressed sizes tell
        #[arg(long, value_name = "none|zstd[:LEVEL]", default_value = "zstd:3")]
        compression: Compression,
    },
    /// Change how a scope's chunks are compressed from now on
    Set {
        /// The scope
        name: String,

        /// What holds for what is sealed from now on; it shares nothing with what was sealed before
        #[arg(long, value_name = "none|zstd[:LEVEL]")]
        compression: Compression,
    },
    /// Give a scope a new secret: what is sealed from now on has new keys
    Rotate {
        /// The scope
        name: String,
    },
    /// List the scopes
    List {
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a scope and who uses it
    Show {
        /// The scope
        name: String,

        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// One scope of the stable documents of `--json`.
#[derive(Serialize)]
struct Row {
    name: String,
    scope: String,
    compression: String,
    since_seconds: u64,
    secret: String,
    earlier: Vec<String>,
}

impl Row {
    fn new(name: String, record: &ScopeRecord) -> Self {
        Self {
            name,
            scope: record.scope.to_string(),
            compression: record.compression.to_string(),
            since_seconds: record.since_seconds,
            secret: record.wrapping_key().map_or("in keyrings".to_owned(), |key| format!("wrapped by {key}")),
            earlier: record.earlier.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Makes, changes or shows scopes.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    wiring::runtime()?.block_on(async {
        match &args.command {
            ScopeCommand::Create { name, compression } => create(name, *compression, global).await,
            ScopeCommand::Set { name, compression } => set(name, *compression, global).await,
            ScopeCommand::Rotate { name } => rotate(name, global).await,
            ScopeCommand::List { json } => list(*json, global).await,
            ScopeCommand::Show { name, json } => show(name, *json, global).await,
        }?;
        Ok(Exit::SUCCESS)
    })
}

async fn create(name: &str, compression: Compression, global: &Global) -> Result<()> {
    let store = wiring::store(global, Absent::Create).await?;
    let keys = wiring::keys(global, Absent::Create)?;
    match store.create_scope(name, keys.provider.as_ref(), compression).await? {
        Put::New => Ok(()),
        Put::Present => Err(anyhow!("there is a scope {name} in {store}"))
            .hint(format!("frazil scope set {name} --compression {compression} changes how it compresses")),
    }
}

async fn set(name: &str, compression: Compression, global: &Global) -> Result<()> {
    let store = wiring::store(global, Absent::Refuse).await?;
    let keys = wiring::keys(global, Absent::Refuse)?;
    Ok(store.set_compression(name, keys.provider.as_ref(), compression).await?)
}

async fn rotate(name: &str, global: &Global) -> Result<()> {
    let store = wiring::store(global, Absent::Refuse).await?;
    let keys = wiring::keys(global, Absent::Refuse)?;
    let id = store.rotate_scope(name, keys.provider.as_ref()).await?;
    if global.quiet == 0 {
        note(format!("scope {name} is {id} from now on; what was sealed before stays readable"));
        if keys.keyring.is_some() {
            note(format!("copy scopes/{name}.key to the other machines that convert for it"));
        }
    }
    Ok(())
}

async fn list(json: bool, global: &Global) -> Result<()> {
    let store = wiring::store(global, Absent::Refuse).await?;
    let scopes = store.scopes().await?;
    let rows: Vec<Row> = scopes.into_iter().map(|(name, record)| Row::new(name, &record)).collect();
    if json {
        return output::json(&rows);
    }
    let mut table = Table::new(&["NAME", "SCOPE", "COMPRESSION", "SECRET"]);
    for row in rows {
        table.row(vec![row.name, row.scope, row.compression, row.secret]);
    }
    output::print(&table.render())
}

async fn show(name: &str, json: bool, global: &Global) -> Result<()> {
    let store = wiring::store(global, Absent::Refuse).await?;
    let Some(record) = store.scope_record(name).await? else {
        return Err(anyhow!("there is no scope {name} in {store}")).hint("frazil scope list");
    };
    let row = Row::new(name.to_owned(), &record);
    if json {
        return output::json(&row);
    }
    let cost = match record.compression {
        Compression::None => "chunks are stored as they are: their sizes tell nothing of what is in them",
        Compression::Zstd { .. } => "the sizes of chunks tell how well they compress (docs/THREAT-MODEL.md)",
    };
    let users = match name {
        SHARED_SCOPE => format!("all tenants, for {} public base layers", store.claimed_bases().await?.len()),
        tenant => format!("tenant {tenant}"),
    };
    let Row { scope, compression, secret, earlier, .. } = row;
    let text = format!(
        "name         {name}\nscope        {scope}\nused by      {users}\ncompression  {compression}; {cost}\nsecret       {secret}\nearlier      {}\n",
        if earlier.is_empty() { "none".to_owned() } else { earlier.join(", ") }
    );
    output::print(&text)
}
