//! `frazil inspect`: everything that is known of one image.

use anyhow::{Context, Result};
use frazil_format::{Geometry, ScopeId, SealedManifest};
use frazil_store::{ImageName, Reference, Store};
use serde::Serialize;
use serde_json::Value;

use crate::cli::Global;
use crate::exit::Exit;
use crate::failure::chain;
use crate::output::{self, Table, bytes, percent};
use crate::sharing::{Figures, Others, ScopeNames};
use crate::supply::Supply;
use crate::wiring::{self, Absent};

/// The part of an image that is read for its EROFS superblock, in bytes: a block.
const SUPERBLOCK_BYTES: usize = frazil_erofs::BLOCK_SIZE;

/// What stands for a figure that the store does not tell.
const NOT_KNOWN: &str = "not known";

/// Show an image's layers, chunks, sharing, EROFS geometry and configuration
///
/// Without the key, all but EROFS and the configuration. What is shared is known when every other image of the store can
/// be read; if not, its figures are null in JSON.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The image's name in the store
    name: String,

    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// The stable document of `--json`.
#[derive(Serialize)]
struct Document {
    name: String,
    manifest: String,
    root: String,
    tenant: String,
    created_seconds: u64,
    key: String,
    image_bytes: u64,
    metadata: Part,
    layers: Vec<Part>,
    total: Figures,
    secrets: Option<Secrets>,
    locked: Option<String>,
}

/// A layer's stream, or the metadata area.
#[derive(Serialize)]
struct Part {
    #[serde(skip_serializing_if = "Option::is_none")]
    diff_id: Option<String>,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope_name: Option<String>,
    offset: u64,
    bytes: u64,
    #[serde(flatten)]
    figures: Figures,
}

/// What only the image's key shows.
#[derive(Serialize)]
struct Secrets {
    erofs: Erofs,
    config: Value,
}

/// The geometry of the EROFS image.
#[derive(Serialize)]
struct Erofs {
    block_bytes: u64,
    blocks: u32,
    inodes: u64,
    root_nid: u64,
    uuid: String,
}

/// Shows it.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    wiring::runtime()?.block_on(async {
        let store = wiring::store(global, Absent::Refuse).await?;
        let (name, reference) = wiring::find(&store, &global.tenant()?, &args.name).await?;
        let manifest = wiring::sealed_manifest(&store, &reference).await?;
        let others = Others::than(&store, &global.tenant()?, &name).await;
        let scopes = ScopeNames::of(&store).await;
        let secrets = secrets(&store, &name, global).await;
        let parts = Parts { manifest: &manifest, others: &others, scopes: &scopes };
        let document = Document::new(&name, &reference, &parts, secrets);
        if args.json {
            output::json(&document)?
        } else {
            output::print(&document.in_words())?
        }
        Ok(Exit::SUCCESS)
    })
}

async fn secrets(store: &Store, name: &ImageName, global: &Global) -> Result<Secrets> {
    let keys = wiring::keys(global, Absent::Refuse)?;
    let open =
        wiring::image(global, &Supply::of_store(global, store.clone())?, &keys, name.as_str(), None).await?;
    let block = open.image.read(0, SUPERBLOCK_BYTES).await?;
    let erofs = frazil_erofs::Image::open(block.as_ref()).context("cannot read the superblock")?;
    let superblock = erofs.superblock();
    Ok(Secrets {
        erofs: Erofs {
            block_bytes: frazil_format::BLOCK_SIZE,
            blocks: superblock.block_count,
            inodes: superblock.inode_count,
            root_nid: superblock.root.0,
            uuid: uuid(&superblock.uuid),
        },
        config: serde_json::from_slice(&open.config).context("cannot read the image's configuration")?,
    })
}

/// The bytes in the groups of RFC 9562.
fn uuid(bytes: &[u8; 16]) -> String {
    let digits = hex::encode(bytes);
    let groups = [0..8, 8..12, 12..16, 16..20, 20..32];
    groups.map(|group| digits.get(group).unwrap_or_default()).join("-")
}

impl Document {
    fn new(name: &ImageName, reference: &Reference, parts: &Parts<'_>, secrets: Result<Secrets>) -> Self {
        let manifest = parts.manifest;
        let geometry = manifest.geometry();
        let (secrets, locked) = match secrets {
            Ok(secrets) => (Some(secrets), None),
            Err(error) => (None, Some(chain(&error))),
        };
        Self {
            name: name.to_string(),
            manifest: reference.manifest.to_string(),
            root: reference.root.to_string(),
            tenant: geometry.tenant.clone(),
            created_seconds: geometry.created_seconds,
            key: manifest.wrapped_key().key_id.clone(),
            image_bytes: geometry.image_len,
            metadata: parts.part(None, &geometry.metadata_scope, 0, geometry.metadata_len),
            layers: parts.layers(geometry),
            total: Figures::of(manifest.chunks(), parts.others),
            secrets,
            locked,
        }
    }

    fn in_words(&self) -> String {
        let total = &self.total;
        let mut text = format!(
            "name      {}\nmanifest  {}\nroot      {}\nkey       {}\nsize      {}, {} chunks, {} sealed\nshared    {}\n",
            self.name,
            self.manifest,
            self.root,
            self.key,
            bytes(self.image_bytes),
            total.chunks,
            bytes(total.sealed_bytes),
            shared(total),
        );
        text.push('\n');
        text.push_str(&self.parts());
        if let Some(Secrets { erofs, config }) = &self.secrets {
            text.push_str(&format!(
                "\nerofs     {} blocks of {}, {} inodes, root nid {}, uuid {}\nconfig    {:#}\n",
                erofs.blocks,
                bytes(erofs.block_bytes),
                erofs.inodes,
                erofs.root_nid,
                erofs.uuid,
                config.get("config").unwrap_or(config),
            ));
        }
        if let Some(reason) = &self.locked {
            text.push_str(&format!("\nlocked    {reason}\n"));
        }
        text
    }

    fn parts(&self) -> String {
        let mut table =
            Table::new(&["OFFSET", "SIZE", "CHUNKS", "SEALED", "SHARED", "WITH TENANTS", "SCOPE", "PART"]);
        for part in std::iter::once(&self.metadata).chain(&self.layers) {
            let name = part.diff_id.as_ref().map_or("metadata".to_owned(), |id| format!("layer sha256:{id}"));
            table.row(vec![
                part.offset.to_string(),
                bytes(part.bytes),
                part.figures.chunks.to_string(),
                bytes(part.figures.sealed_bytes),
                bytes_if_known(part.figures.shared_bytes),
                bytes_if_known(part.figures.tenants_bytes),
                part.scope_name.clone().unwrap_or_else(|| part.scope.clone()),
                name,
            ]);
        }
        table.render()
    }
}

/// How much of all chunks other images have too.
fn shared(total: &Figures) -> String {
    let with_tenants = bytes_if_known(total.tenants_bytes);
    match (total.shared_chunks, total.shared_bytes) {
        (Some(chunks), Some(shared)) => format!(
            "{chunks} of {} chunks, {} ({}) with other images, {with_tenants} of it with other tenants",
            total.chunks,
            bytes(shared),
            percent(shared, total.sealed_bytes),
        ),
        _ => format!(
            "{NOT_KNOWN} with other images, which could not all be read; {with_tenants} with other tenants"
        ),
    }
}

fn bytes_if_known(figure: Option<u64>) -> String {
    figure.map_or_else(|| NOT_KNOWN.to_owned(), bytes)
}

/// What the parts of an image are described from.
struct Parts<'a> {
    manifest: &'a SealedManifest,
    others: &'a Others,
    scopes: &'a ScopeNames,
}

impl Parts<'_> {
    fn layers(&self, geometry: &Geometry) -> Vec<Part> {
        let part = |layer: &frazil_format::LayerExtent| {
            self.part(Some(layer.diff_id.to_string()), &layer.scope, layer.offset, layer.len)
        };
        geometry.layers.iter().map(part).collect()
    }

    fn part(&self, diff_id: Option<String>, scope: &ScopeId, offset: u64, bytes: u64) -> Part {
        Part {
            diff_id,
            scope: scope.to_string(),
            scope_name: self.scopes.name(scope).map(str::to_owned),
            offset,
            bytes,
            figures: self.figures_between(offset, bytes),
        }
    }

    /// The figures of the chunks that start within `len` bytes from `offset` on.
    fn figures_between(&self, offset: u64, len: u64) -> Figures {
        let end = offset.saturating_add(len);
        let chunks = self.manifest.chunks();
        // Chunks are sorted by offset.
        let (first, last) = (
            chunks.partition_point(|chunk| chunk.offset < offset),
            chunks.partition_point(|chunk| chunk.offset < end),
        );
        Figures::of(chunks.get(first..last).unwrap_or_default(), self.others)
    }
}
