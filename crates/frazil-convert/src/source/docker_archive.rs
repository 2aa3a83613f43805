//! What `docker save` and `skopeo copy ... docker-archive:` write: `manifest.json`, configs and layer tars.
//!
//! The archive names its layers by file, not by digest; what proves them is the diff id in the config. A
//! config's own name is its digest, and is checked as one.
//! Format: moby's image specification v1.2, "Combined Image JSON + Filesystem Changeset Format".

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use super::archive::{Archive, normal_name};
use super::document::{Config, MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES, from_json};
use super::reference::Reference;
use super::spec::ArchiveChoice;
use super::{
    BlobStream, Digest, LayerCompression, LayerDescriptor, Platform, ResolvedImage, Source, SourceError,
    VerifyError,
};

const MANIFEST_FILE: &str = "manifest.json";
const BLOBS: &str = "blobs/sha256/";
const CONFIG_SUFFIX: &str = ".json";
/// Bytes that tell a compression.
const HEAD_BYTES: u64 = 4;

/// One image of a docker archive.
pub(super) struct DockerArchive {
    archive: Arc<Archive>,
    source_name: String,
    choice: Option<ArchiveChoice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageWire {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

impl DockerArchive {
    pub(super) fn new(archive: Arc<Archive>, source_name: String, choice: Option<ArchiveChoice>) -> Self {
        Self { archive, source_name, choice }
    }

    fn select(&self, images: Vec<ImageWire>) -> Result<ImageWire, SourceError> {
        let available = || {
            let tags = images.iter().enumerate().map(|(index, image)| match &image.repo_tags {
                Some(tags) if !tags.is_empty() => tags.clone(),
                _ => vec![format!("@{index}")],
            });
            tags.flatten().collect::<Vec<_>>()
        };
        let position = match &self.choice {
            None if images.len() > 1 => {
                let source_name = self.source_name.clone();
                return Err(SourceError::TagNeeded { source_name, available: available() });
            }
            None => Some(0),
            Some(ArchiveChoice::Index(index)) => Some(*index),
            Some(ArchiveChoice::Reference(wanted)) => images.iter().position(|image| image.is(wanted)),
        };
        let unknown = SourceError::UnknownTag {
            source_name: self.source_name.clone(),
            wanted: self.choice.as_ref().map(ToString::to_string).unwrap_or_default(),
            available: available(),
        };
        position.and_then(|position| images.into_iter().nth(position)).ok_or(unknown)
    }

    /// Reads a small file of the archive.
    async fn read(&self, name: &str, what: &'static str, limit: u64) -> Result<Vec<u8>, SourceError> {
        let (mut stream, size) = self.archive.open_entry(name).await?;
        if size > limit {
            return Err(SourceError::TooLarge { what, name: name.to_owned(), size, limit });
        }
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.map_err(|source| self.io(source))?;
        Ok(bytes)
    }

    async fn config(&self, name: &str) -> Result<Vec<u8>, SourceError> {
        let bytes = self.read(name, "config", MAX_CONFIG_BYTES).await?;
        let actual = Digest::of(&bytes);
        match digest_in_name(name) {
            Some(expected) if expected != actual => Err(SourceError::Corrupt {
                what: "config",
                name: name.to_owned(),
                source: VerifyError::Digest { expected, actual },
            }),
            _ => Ok(bytes),
        }
    }

    async fn compression(&self, entry: &str) -> Result<(LayerCompression, u64), SourceError> {
        let (stream, size) = self.archive.open_entry(entry).await?;
        let mut head = Vec::new();
        stream.take(HEAD_BYTES).read_to_end(&mut head).await.map_err(|source| self.io(source))?;
        Ok((LayerCompression::sniff(&head), size))
    }

    fn io(&self, source: std::io::Error) -> SourceError {
        SourceError::Io { path: self.archive.path().to_owned(), source }
    }

    /// The name of an entry as `manifest.json` writes it, in the form of the archive's index.
    fn entry_name(&self, name: &str) -> Result<String, SourceError> {
        normal_name("", name.as_bytes()).ok_or_else(|| SourceError::BadEntry {
            path: self.archive.path().to_owned(),
            name: name.to_owned(),
            reason: "its name leaves the archive",
        })
    }
}

impl ImageWire {
    fn is(&self, wanted: &Reference) -> bool {
        let tags = self.repo_tags.iter().flatten();
        tags.filter_map(|tag| tag.parse::<Reference>().ok()).any(|tag| tag == *wanted)
    }
}

/// The digest that a file is named by, if it is: `HEX.json` of a config, `blobs/sha256/HEX` of anything.
fn digest_in_name(name: &str) -> Option<Digest> {
    Digest::from_hex(name.strip_prefix(BLOBS).or_else(|| name.strip_suffix(CONFIG_SUFFIX))?)
}

#[async_trait]
impl Source for DockerArchive {
    async fn resolve(&self, platform: &Platform) -> Result<ResolvedImage, SourceError> {
        let bytes = self.read(MANIFEST_FILE, "manifest", MAX_MANIFEST_BYTES).await?;
        let image = self.select(from_json(&bytes, "manifest", &MANIFEST_FILE)?)?;
        let bytes = self.config(&self.entry_name(&image.config)?).await?;
        let config = Config::parse(&bytes, &image.config)?;
        let names = image.layers.unwrap_or_default();
        config.check_platform(platform)?;
        config.check_layers(names.len(), &self.source_name)?;
        let mut layers = Vec::with_capacity(names.len());
        for (index, (name, diff_id)) in names.iter().zip(&config.diff_ids).enumerate() {
            let entry = self.entry_name(name)?;
            let (compression, size) = self.compression(&entry).await?;
            let digest = entry.strip_prefix(BLOBS).and_then(Digest::from_hex);
            let (size, diff_id, entry) = (Some(size), *diff_id, Some(entry));
            layers.push(LayerDescriptor { index, digest, size, diff_id, compression, entry });
        }
        Ok(ResolvedImage { config: bytes, manifest_digest: None, layers })
    }

    async fn layer(&self, layer: &LayerDescriptor) -> Result<BlobStream, SourceError> {
        match &layer.entry {
            Some(entry) => Ok(self.archive.open_entry(entry).await?.0),
            None => Err(SourceError::NotOfThisSource { index: layer.index }),
        }
    }
}
