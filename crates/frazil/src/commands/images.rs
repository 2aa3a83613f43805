//! `frazil images`: what is in the store.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use frazil_format::SealedManifest;
use frazil_store::{ImageName, Reference};
use serde::Serialize;

use crate::cli::Global;
use crate::exit::Exit;
use crate::output::{self, Table, bytes};
use crate::wiring::{self, Absent};

/// List the images in the store
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

/// One image of the stable document of `--json`, an array.
#[derive(Serialize)]
struct Row {
    name: String,
    manifest: String,
    root: String,
    created_seconds: u64,
    layers: usize,
    chunks: usize,
    image_bytes: u64,
    sealed_bytes: u64,
}

impl Row {
    fn new(name: &ImageName, reference: &Reference, manifest: &SealedManifest) -> Self {
        let geometry = manifest.geometry();
        Self {
            name: name.to_string(),
            manifest: reference.manifest.to_string(),
            root: reference.root.to_string(),
            created_seconds: geometry.created_seconds,
            layers: geometry.layers.len(),
            chunks: manifest.chunks().len(),
            image_bytes: geometry.image_len,
            sealed_bytes: manifest.chunks().iter().map(|chunk| u64::from(chunk.sealed_len)).sum(),
        }
    }
}

/// Lists them.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    wiring::runtime()?.block_on(async {
        let store = wiring::store(global, Absent::Refuse).await?;
        let mut rows = Vec::new();
        let visit = |name: &_, reference: &_, manifest: &_| rows.push(Row::new(name, reference, manifest));
        let exit = wiring::each_image(&store, &global.tenant()?, visit).await?;
        if args.json {
            output::json(&rows)?
        } else {
            output::print(&table(&rows))?
        }
        Ok(exit)
    })
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new(&["NAME", "MANIFEST", "CREATED", "LAYERS", "CHUNKS", "SIZE", "SEALED"]);
    for row in rows {
        table.row(vec![
            row.name.clone(),
            row.manifest.chars().take(12).collect(),
            age(row.created_seconds),
            row.layers.to_string(),
            row.chunks.to_string(),
            bytes(row.image_bytes),
            bytes(row.sealed_bytes),
        ]);
    }
    table.render()
}

/// How long ago that was.
fn age(created_seconds: u64) -> String {
    let created = UNIX_EPOCH.checked_add(Duration::from_secs(created_seconds));
    let since = created.and_then(|created| SystemTime::now().duration_since(created).ok());
    format!("{} ago", output::roughly(since.unwrap_or_default()))
}
