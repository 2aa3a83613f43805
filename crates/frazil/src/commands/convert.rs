//! `frazil convert`: an OCI image in, a published image out.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Result;
use frazil_convert::source::{self, CredentialFiles, Platform, RegistryAccess, SourceOptions, SourceSpec};
use frazil_convert::{Conversion, ConvertOptions, Standing};
use frazil_format::{ChunkId, Compression};
use frazil_store::{ImageName, Store};
use serde::Serialize;

use crate::cli::Global;
use crate::config::{Config, Value, keys};
use crate::exit::Exit;
use crate::output::{self, bytes, duration, note};
use crate::progress::Bars;
use crate::size::Size;
use crate::wiring::{self, Absent, Keys};

/// The transports of a source, as skopeo writes them.
const TRANSPORTS: [&str; 4] = ["docker://", "oci:", "oci-archive:", "docker-archive:"];

/// Convert an OCI image and publish it in the store
///
/// Sources are written as for skopeo: docker://HOST/REPO:TAG, oci:DIR[:TAG], oci-archive:FILE[:TAG],
/// docker-archive:FILE[:REF]; in a layout a manifest's digest chooses as well, oci:DIR:@sha256:…. Layers that the
/// store knows are not read again.
#[allow(
    rustdoc::broken_intra_doc_links,
    reason = "the text is the command's help, and brackets are its syntax"
)]
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Where the image comes from
    source: SourceSpec,

    /// The name to publish it under [default: from the source]
    #[arg(long)]
    name: Option<ImageName>,

    /// Print the summary as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    conversion: ConversionArgs,
}

/// How an image is converted.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Converting")]
pub(crate) struct ConversionArgs {
    /// Which image of a multi-platform one [default: this machine's]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    /// Speak plain HTTP to the registry, passwords included
    #[arg(long)]
    plain_http: bool,

    /// Threads that compress and seal; the result is the same [default: one per processor]
    #[arg(long, value_name = "N", value_parser = u16::parse)]
    threads: Option<u16>,

    /// The most bytes that an image may unpack to, such as 20G [default: 256 GiB]
    #[arg(long, value_name = "SIZE")]
    max_image_size: Option<Size>,

    /// How the tenant's own chunks are compressed: none, or zstd with a level [default: as its scope says]
    #[arg(long, value_name = "none|zstd[:LEVEL]", value_parser = Compression::parse)]
    compression: Option<Compression>,

    /// Replace an image of the same name that cannot be opened here, such as one that was sealed with other keys
    #[arg(long)]
    replace: bool,
}

impl ConversionArgs {
    fn options(&self, config: &Config) -> Result<ConvertOptions> {
        let mut options = ConvertOptions::new(self.platform());
        options.compression = config.get(&keys::COMPRESSION)?;
        options.max_image_bytes = max_image_bytes(config)?;
        if let Some(threads) = config.get(&keys::THREADS)? {
            options.threads = threads.into();
        }
        Ok(options)
    }

    /// How the source is reached.
    pub(crate) fn source_options(&self) -> SourceOptions {
        let access = if self.plain_http { RegistryAccess::PlainHttp } else { RegistryAccess::Https };
        SourceOptions { access, credentials: CredentialFiles::from_environment(), ..SourceOptions::default() }
    }

    /// The image that is wanted of a multi-platform one.
    pub(crate) fn platform(&self) -> Platform {
        self.platform.clone().unwrap_or_else(Platform::host)
    }
}

/// The most bytes that an image may unpack to.
pub(crate) fn max_image_bytes(config: &Config) -> Result<u64> {
    Ok(config.value(&keys::MAX_IMAGE_SIZE)?.0)
}

impl Value for Compression {
    const FORM: &'static str = "none or zstd[:LEVEL]";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: frazil_format::FormatError| error.to_string())
    }
}

/// The source that a text names, if it has a transport in front and so is no name.
pub(crate) fn source_of(text: &str) -> Result<Option<SourceSpec>> {
    let is_source = TRANSPORTS.iter().any(|transport| text.starts_with(transport));
    Ok(if is_source { Some(text.parse()?) } else { None })
}

/// Converts, and tells the figures.
pub(crate) fn execute(args: &Args, global: &Global) -> Result<Exit> {
    wiring::runtime()?.block_on(async {
        let name = match &args.name {
            Some(name) => name.clone(),
            None => args.source.default_name().parse()?,
        };
        let store = wiring::store(global, Absent::Create).await?;
        let keys = wiring::keys(global, Absent::Create)?;
        let conversion = convert(&args.source, &name, &store, &keys, &args.conversion, global).await?;
        if args.json {
            output::json(&Document::new(&name, &conversion))?;
        } else {
            output::print(&summary(&name, &conversion))?;
        }
        Ok(Exit::SUCCESS)
    })
}

/// Converts a source, with bars for the person who watches.
pub(crate) async fn convert(
    spec: &SourceSpec,
    name: &ImageName,
    store: &Store,
    keys: &Keys,
    args: &ConversionArgs,
    global: &Global,
) -> Result<Conversion> {
    mend(spec, name, store, keys, args, global, HashSet::new()).await
}

/// As [`convert`], when chunks of the store are known to be damaged: they are written anew.
pub(crate) async fn mend(
    spec: &SourceSpec,
    name: &ImageName,
    store: &Store,
    keys: &Keys,
    args: &ConversionArgs,
    global: &Global,
    damaged: HashSet<ChunkId>,
) -> Result<Conversion> {
    let source = source::open(spec, &args.source_options()).await?;
    let mut options = args.options(global.config()?)?;
    options.distrusted = Arc::new(damaged);
    let own = wiring::own_scope(store, keys).await?;
    let bars = Bars::on_stderr(global.quiet);
    let keys = frazil_convert::Keys {
        tenant: &keys.tenant,
        own: &own,
        provider: keys.provider.as_ref(),
        standing: if args.replace { Standing::ReplaceAny } else { Standing::ReplaceOwn },
    };
    let converted = frazil_convert::convert(source.as_ref(), name, store, keys, &options, &bars).await;
    bars.clear();
    let conversion = converted?;
    let dropped = conversion.warnings.dropped_xattrs;
    if dropped > 0 && global.quiet == 0 {
        note(format!("warning: {dropped} extended attributes cannot be shown by a mount and were left out"));
    }
    Ok(conversion)
}

/// The stable document of `--json`.
#[derive(Serialize)]
struct Document {
    name: String,
    manifest: String,
    root: String,
    unchanged: bool,
    layers_reused: usize,
    layers_ingested: usize,
    layers_public: usize,
    source_bytes: u64,
    tar_bytes: u64,
    chunks_new: u64,
    chunks_shared: u64,
    bytes_written: u64,
    image_chunks: u64,
    metadata_bytes: u64,
    image_bytes: u64,
    inodes: u64,
    dropped_xattrs: u64,
    duration_ms: f64,
}

impl Document {
    fn new(name: &ImageName, conversion: &Conversion) -> Self {
        Self {
            name: name.to_string(),
            manifest: conversion.manifest.to_string(),
            root: conversion.root.to_string(),
            unchanged: conversion.unchanged,
            layers_reused: conversion.layers_reused,
            layers_ingested: conversion.layers_ingested,
            layers_public: conversion.layers_public,
            source_bytes: conversion.source_bytes,
            tar_bytes: conversion.tar_bytes,
            chunks_new: conversion.chunks_new,
            chunks_shared: conversion.chunks_shared,
            bytes_written: conversion.bytes_written,
            image_chunks: conversion.image_chunks,
            metadata_bytes: conversion.metadata_bytes,
            image_bytes: conversion.image_bytes,
            inodes: conversion.inodes,
            dropped_xattrs: conversion.warnings.dropped_xattrs,
            duration_ms: conversion.duration.as_secs_f64() * 1000.0,
        }
    }
}

fn summary(name: &ImageName, conversion: &Conversion) -> String {
    let Conversion { manifest, layers_reused, layers_ingested, source_bytes, tar_bytes, .. } = conversion;
    let Conversion { chunks_new, chunks_shared, bytes_written, image_chunks, image_bytes, inodes, .. } =
        conversion;
    let state = if conversion.unchanged { "unchanged" } else { "published" };
    let layers = match conversion.layers_public {
        0 => format!("{layers_ingested} read, {layers_reused} reused"),
        public => format!("{layers_ingested} read, {layers_reused} reused, {public} public"),
    };
    let rows = [
        ("image", format!("{name} ({state})")),
        ("manifest", manifest.to_string()),
        ("layers", layers),
        ("read", format!("{} of blobs, {} unpacked", bytes(*source_bytes), bytes(*tar_bytes))),
        ("chunks", format!("{chunks_new} new, {chunks_shared} shared, {image_chunks} in the image")),
        ("written", bytes(*bytes_written)),
        ("size", format!("{} in {inodes} files and directories", bytes(*image_bytes))),
        ("time", duration(conversion.duration)),
    ];
    rows.iter().map(|(label, text)| format!("{label:<9} {text}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_transport_makes_a_source() {
        assert!(source_of("oci:/images/hello:latest").unwrap().is_some());
        assert!(source_of("python:3.12").unwrap().is_none());
    }
}
