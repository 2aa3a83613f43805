//! Just enough of an OCI layout to hand its layers to the peers.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// An image in an OCI layout on disk, gzip layers.
pub(crate) struct Layout {
    /// The layout's directory.
    pub(crate) dir: PathBuf,
    /// The image's tag.
    pub(crate) tag: String,
    /// The digest of the image's manifest.
    pub(crate) manifest: String,
    /// The blobs of the layers, lowest first.
    pub(crate) layers: Vec<PathBuf>,
}

impl Layout {
    /// Reads `DIR:TAG`.
    pub(crate) fn open(image: &str) -> anyhow::Result<Self> {
        let (dir, tag) = image.rsplit_once(':').context("the image must be given as DIR:TAG")?;
        let dir = PathBuf::from(dir);
        let index = json(&dir.join("index.json"))?;
        let manifest = index["manifests"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == tag)
            .with_context(|| format!("no tag {tag} in {}", dir.display()))?;
        let digest = manifest["digest"].as_str().unwrap_or_default().to_owned();
        let manifest = json(&blob(&dir, &manifest["digest"])?)?;
        let layers = manifest["layers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|layer| blob(&dir, &layer["digest"]))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { dir, tag: tag.to_owned(), manifest: digest, layers })
    }

    /// The bytes of all layers, uncompressed.
    pub(crate) fn tar_bytes(&self) -> anyhow::Result<u64> {
        self.layers.iter().map(|layer| uncompressed(layer, |_| ())).sum()
    }

    /// The ceiling of any conversion on one core: decompressing and hashing alone.
    pub(crate) fn gunzip_and_hash(&self) -> anyhow::Result<()> {
        for layer in &self.layers {
            let mut hash = Sha256::new();
            uncompressed(layer, |bytes| hash.update(bytes))?;
            std::hint::black_box(hash.finalize());
        }
        Ok(())
    }
}

fn uncompressed(layer: &Path, mut each: impl FnMut(&[u8])) -> anyhow::Result<u64> {
    let file = BufReader::with_capacity(1 << 20, File::open(layer)?);
    let mut decoder = flate2::read::MultiGzDecoder::new(file);
    let mut buffer = vec![0; 1 << 18];
    let mut total = 0;
    loop {
        let read = decoder.read(&mut buffer).with_context(|| format!("{} is no gzip", layer.display()))?;
        if read == 0 {
            return Ok(total);
        }
        total += read as u64;
        each(&buffer[..read]);
    }
}

fn json(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

fn blob(dir: &Path, digest: &Value) -> anyhow::Result<PathBuf> {
    let digest = digest.as_str().and_then(|d| d.strip_prefix("sha256:")).context("no SHA-256 digest")?;
    Ok(dir.join("blobs/sha256").join(digest))
}
