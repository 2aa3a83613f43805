//! `frazil verify`: whether an image is what it claims to be.

use std::io;
use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use frazil_cache::Wanted;
use frazil_convert::source::{self, SourceSpec};
use frazil_convert::verify::{self, AddressSpace, ChunkReport, Comparison};
use frazil_mount::{Image, ImageOptions};
use serde::Serialize;
use tokio::runtime::Handle;

use super::convert::{ConversionArgs, max_image_bytes};
use crate::cli::Global;
use crate::exit::Exit;
use crate::output::{self, bytes};
use crate::wiring::{self, Absent};

/// Check every chunk of an image, and every path and byte against its source
///
/// Ends with 1 if anything is not as it should be.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The image's name in the store
    name: String,

    /// Read this source again, and compare
    #[arg(long, value_name = "SOURCE")]
    against: Option<SourceSpec>,

    /// Print what was found as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    conversion: ConversionArgs,
}

/// The stable document of `--json`.
#[derive(Serialize)]
struct Document {
    name: String,
    manifest: String,
    sound: bool,
    chunks: u64,
    sealed_bytes: u64,
    faulty_chunks: u64,
    faults: Vec<Fault>,
    against: Option<Comparison>,
}

/// A chunk that is not as it should be.
#[derive(Serialize)]
struct Fault {
    offset: u64,
    chunk: String,
    reason: String,
}

/// Checks it.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    wiring::runtime()?.block_on(async {
        let store = wiring::store(global, Absent::Refuse).await?;
        let keys = wiring::keys(global, Absent::Refuse)?;
        let (name, reference) = wiring::find(&store, &global.tenant()?, &args.name).await?;
        let sealed = wiring::sealed_manifest(&store, &reference).await?;
        let manifest = wiring::open_manifest(&name, &reference, &sealed, &keys).await?;
        let tier = wiring::origin(global, &store).await?;

        let fetch = |chunk: frazil_format::Chunk| {
            let wanted = Wanted { root: reference.root, id: chunk.id, sealed_len: chunk.sealed_len };
            let tier = Arc::clone(&tier);
            async move { tier.get(&wanted).await.map(|served| served.chunk) }
        };
        let report = verify::chunks(&manifest, fetch).await;
        let against = match &args.against {
            None => None,
            Some(spec) => {
                let options = ImageOptions { root: Some(reference.root), ..wiring::image_options(global)? };
                let source = source::open(spec, &args.conversion.source_options()).await?;
                let image = Image::new(manifest, tier, Handle::current(), options)?;
                let (platform, limit) = (args.conversion.platform(), max_image_bytes(global.config()?)?);
                Some(verify::against_source(Arc::new(Space(image)), source.as_ref(), &platform, limit).await?)
            }
        };
        let document = Document::new(name.to_string(), reference.manifest.to_string(), report, against);
        if args.json {
            output::json(&document)?
        } else {
            output::print(&document.in_words())?
        }
        Ok(if document.sound { Exit::SUCCESS } else { Exit::FAILURE })
    })
}

impl Document {
    fn new(name: String, manifest: String, report: ChunkReport, against: Option<Comparison>) -> Self {
        let faults = report.faults.into_iter().map(|fault| Fault {
            offset: fault.offset,
            chunk: fault.id.to_string(),
            reason: fault.reason,
        });
        Self {
            name,
            manifest,
            sound: report.faulty == 0 && against.as_ref().is_none_or(|comparison| comparison.different == 0),
            chunks: report.chunks,
            sealed_bytes: report.sealed_bytes,
            faulty_chunks: report.faulty,
            faults: faults.collect(),
            against,
        }
    }

    fn in_words(&self) -> String {
        let mut lines = Vec::new();
        for Fault { offset, chunk, reason } in &self.faults {
            lines.push(format!("chunk {chunk} at {offset}: {reason}"));
        }
        let (good, sealed) = (self.chunks.saturating_sub(self.faulty_chunks), bytes(self.sealed_bytes));
        lines.push(format!("{}: {good} of {} chunks are sound ({sealed})", self.name, self.chunks));
        if let Some(comparison) = &self.against {
            for difference in &comparison.differences {
                let (expected, found) = (&difference.expected, &difference.found);
                lines.push(format!(
                    "/{}: {}: {found} instead of {expected}",
                    difference.path, difference.what
                ));
            }
            let Comparison { paths, bytes: compared, different, .. } = comparison;
            lines.push(format!(
                "{different} differences to the source in {paths} paths, {}",
                bytes(*compared)
            ));
        }
        lines.join("\n") + "\n"
    }
}

/// The image's reader, as the comparison wants it.
struct Space(Arc<Image>);

#[async_trait]
impl AddressSpace for Space {
    fn len(&self) -> u64 {
        self.0.len()
    }

    async fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.0.read(offset, len).await.map_err(io::Error::other)
    }
}
