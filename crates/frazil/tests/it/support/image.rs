//! An image on disk, as an OCI layout and a tag in it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::tool::{run, tool};

/// One tagged image of an OCI layout.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// The directory of the OCI layout.
    pub(crate) layout: PathBuf,
    /// The image's tag in that layout.
    pub(crate) tag: String,
}

/// One layer as the image's manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerBlob {
    /// `sha256:` and 64 hexadecimal digits.
    pub(crate) digest: String,
    /// Bytes, as stored.
    pub(crate) size: u64,
}

impl Image {
    /// The image `tag` of the OCI layout in `layout`.
    pub(crate) fn new(layout: &Path, tag: &str) -> Self {
        Self { layout: layout.to_owned(), tag: tag.to_owned() }
    }

    /// Copies any source that skopeo knows into the OCI layout `layout`, as `tag`.
    #[track_caller]
    pub(crate) fn import(source: &str, layout: &Path, tag: &str) -> Self {
        let image = Self::new(layout, tag);
        run(tool("skopeo").args(["copy", "--quiet", "--preserve-digests", source, &image.source()]));
        image
    }

    /// Where the image is, as skopeo and frazil say it: `oci:DIR:TAG`.
    pub(crate) fn source(&self) -> String {
        format!("oci:{}", self.reference())
    }

    /// Where the image is, as umoci says it: `DIR:TAG`.
    pub(crate) fn reference(&self) -> String {
        format!("{}:{}", self.layout.display(), self.tag)
    }

    /// Copies the image into one file, an `oci-archive`, and returns its source.
    #[track_caller]
    pub(crate) fn archive(&self, file: &Path) -> String {
        let archive = format!("oci-archive:{}:{}", file.display(), self.tag);
        run(tool("skopeo").args(["copy", "--quiet", &self.source(), &archive]));
        archive
    }

    /// The layers, lowest first.
    #[track_caller]
    pub(crate) fn layers(&self) -> Vec<LayerBlob> {
        let manifest = self.manifest();
        let layer = |value: &Value| LayerBlob {
            digest: value["digest"].as_str().unwrap().to_owned(),
            size: value["size"].as_u64().unwrap(),
        };
        manifest["layers"].as_array().unwrap().iter().map(layer).collect()
    }

    /// The OCI config, as JSON.
    #[track_caller]
    pub(crate) fn config(&self) -> Value {
        json(&self.blob(self.manifest()["config"]["digest"].as_str().unwrap()))
    }

    /// The file of a blob.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        self.layout.join("blobs").join(digest.replace(':', "/"))
    }

    fn manifest(&self) -> Value {
        let index = json(&self.layout.join("index.json"));
        let tag =
            |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == self.tag.as_str();
        let entry = index["manifests"].as_array().unwrap().iter().find(tag);
        json(&self.blob(entry.unwrap()["digest"].as_str().unwrap()))
    }
}

#[track_caller]
fn json(file: &Path) -> Value {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
    serde_json::from_slice(&bytes).unwrap()
}
