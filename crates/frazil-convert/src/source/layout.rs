//! An OCI layout: `oci-layout`, `index.json` and blobs by digest, in a directory or in a tar archive.
//!
//! Invariant: a blob's path is made from a parsed digest, so no document can name a file outside of it.
//! Format: OCI image-spec, `image-layout.md`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::archive::Archive;
use super::document::{Descriptor, Document, MAX_MANIFEST_BYTES, from_json};
use super::layout_index;
use super::resolve::{self, Blobs};
use super::{
    BlobStream, Digest, LayerDescriptor, LayoutChoice, Platform, ResolvedImage, Source, SourceError,
};

const LAYOUT_FILE: &str = "oci-layout";
const INDEX_FILE: &str = "index.json";
const DOCKER_MANIFEST_FILE: &str = "manifest.json";
const LAYOUT_MAJOR_VERSION: &str = "1.";

/// The name of a blob in any OCI layout.
pub(super) fn blob_name(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Where the files of a layout are.
pub(super) enum Files {
    /// In a directory.
    Dir(PathBuf),
    /// In an archive, read at their offsets.
    Archive(Arc<Archive>),
}

/// One image of a layout.
pub(super) struct Layout {
    files: Files,
    /// The source as its user wrote it, without the choice.
    source_name: String,
    choice: Option<LayoutChoice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutWire {
    image_layout_version: Option<String>,
}

impl Files {
    fn path(&self) -> &Path {
        match self {
            Self::Dir(dir) => dir,
            Self::Archive(archive) => archive.path(),
        }
    }

    /// Opens the file `name`, with its size.
    async fn open(&self, name: &str) -> Result<(BlobStream, u64), SourceError> {
        match self {
            Self::Dir(dir) => open_regular(dir, name).await,
            Self::Archive(archive) => archive.open_entry(name).await,
        }
    }

    /// Reads the small file `name`.
    async fn read(&self, name: &str) -> Result<Vec<u8>, SourceError> {
        let (stream, size) = self.open(name).await?;
        if size > MAX_MANIFEST_BYTES {
            let (name, limit) = (name.to_owned(), MAX_MANIFEST_BYTES);
            return Err(SourceError::TooLarge { what: "document", name, size, limit });
        }
        let mut bytes = Vec::new();
        stream
            .take(MAX_MANIFEST_BYTES)
            .read_to_end(&mut bytes)
            .await
            .map_err(|source| SourceError::Io { path: self.path().join(name), source })?;
        Ok(bytes)
    }
}

/// Opens a regular file: a fifo in a layout must not make its reader wait for ever.
async fn open_regular(dir: &Path, name: &str) -> Result<(BlobStream, u64), SourceError> {
    let path = dir.join(name);
    let missing = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => SourceError::MissingEntry { path: dir.to_owned(), name: name.to_owned() },
        _ => SourceError::Io { path: path.clone(), source },
    };
    let metadata = tokio::fs::metadata(&path).await.map_err(missing)?;
    if !metadata.is_file() {
        return Err(SourceError::BadEntry {
            path: dir.to_owned(),
            name: name.to_owned(),
            reason: "it is not a regular file",
        });
    }
    let file = File::open(&path).await.map_err(missing)?;
    Ok((Box::new(file), metadata.len()))
}

impl Layout {
    pub(super) fn new(files: Files, source_name: String, choice: Option<LayoutChoice>) -> Self {
        Self { files, source_name, choice }
    }

    async fn check_version(&self) -> Result<(), SourceError> {
        let refuse = |reason| SourceError::NotALayout { path: self.files.path().to_owned(), reason };
        let bytes = match self.files.read(LAYOUT_FILE).await {
            Err(SourceError::MissingEntry { .. }) => {
                let docker = self.files.open(DOCKER_MANIFEST_FILE).await.is_ok();
                return Err(refuse(match docker {
                    true => "it has no oci-layout file but a manifest.json; read it as docker-archive:",
                    false => "it has no oci-layout file",
                }));
            }
            other => other?,
        };
        let wire: LayoutWire = from_json(&bytes, "document", &LAYOUT_FILE)?;
        match wire.image_layout_version {
            Some(version) if version.starts_with(LAYOUT_MAJOR_VERSION) => Ok(()),
            _ => Err(refuse("its imageLayoutVersion is not 1.x")),
        }
    }
}

#[async_trait]
impl Blobs for Layout {
    async fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, SourceError> {
        resolve::manifest_blob(self, descriptor).await
    }

    async fn blob(&self, digest: Digest, _size: u64) -> Result<BlobStream, SourceError> {
        Ok(self.files.open(&blob_name(digest)).await?.0)
    }
}

#[async_trait]
impl Source for Layout {
    async fn resolve(&self, platform: &Platform) -> Result<ResolvedImage, SourceError> {
        self.check_version().await?;
        let bytes = self.files.read(INDEX_FILE).await?;
        match Document::parse(&bytes, &INDEX_FILE, None)? {
            Document::Index(entries) => {
                let selected = layout_index::select(entries, self.choice.as_ref(), &self.source_name)?;
                let image = layout_index::tell_apart(self, selected, platform, &self.source_name).await?;
                resolve::resolve(self, Document::Index(image), Digest::of(&bytes), platform).await
            }
            Document::Manifest { .. } => {
                Err(SourceError::unsupported_manifest(INDEX_FILE, "it is not an index"))
            }
        }
    }

    async fn layer(&self, layer: &LayerDescriptor) -> Result<BlobStream, SourceError> {
        match (layer.digest, layer.size) {
            (Some(digest), Some(size)) => self.blob(digest, size).await,
            _ => Err(SourceError::NotOfThisSource { index: layer.index }),
        }
    }
}
