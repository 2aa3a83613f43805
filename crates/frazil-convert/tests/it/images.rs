//! Small images made by hand: every blob, descriptor and index can be forged.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use frazil_convert::source::Digest;
use serde_json::{Value, json};

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// How a layer is compressed in its blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Gzip, Self::Zstd];

    pub(crate) fn pack(self, tar: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => tar.to_vec(),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(tar).unwrap();
                encoder.finish().unwrap()
            }
            Self::Zstd => zstd::encode_all(tar, 1).unwrap(),
        }
    }

    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }
}

/// A tar stream of regular files.
pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Two layers that differ from every other `seed`'s.
pub(crate) fn layers(seed: &str) -> Vec<Vec<u8>> {
    vec![
        tar(&[("etc/seed", seed.as_bytes()), ("bin/program", &vec![b'x'; 100_000])]),
        tar(&[("etc/seed", b"replaced"), ("etc/.wh.gone", b"")]),
    ]
}

/// An image config for `OS/ARCH` and these tar streams.
pub(crate) fn config(platform: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let (os, architecture) = platform.split_once('/').unwrap();
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    let history: Vec<Value> = diff_ids
        .iter()
        .map(|_| json!({"created_by": "a test"}))
        .chain([json!({"created_by": "CMD", "empty_layer": true})])
        .collect();
    let config = json!({
        "os": os,
        "architecture": architecture,
        "config": {"Cmd": ["/bin/program"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    });
    serde_json::to_vec(&config).unwrap()
}

/// An OCI layout that is written blob by blob.
pub(crate) struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// An empty layout in `dir`, which is made.
    pub(crate) fn create(dir: &Path) -> Self {
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let layout = Self { dir: dir.to_owned() };
        layout.index(&[]);
        layout
    }

    /// A layout of one tagged image for linux/amd64.
    pub(crate) fn with_image(dir: &Path, tag: &str, layers: &[Vec<u8>], packing: Packing) -> Self {
        let layout = Self::create(dir);
        let manifest = layout.image("linux/amd64", layers, packing);
        layout.index(&[tagged(manifest, tag)]);
        layout
    }

    /// Stores a blob and gives its descriptor.
    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        fs::write(self.blob_path(&digest.to_string()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    /// Stores an image and gives its manifest's descriptor.
    pub(crate) fn image(&self, platform: &str, layers: &[Vec<u8>], packing: Packing) -> Value {
        let config = self.blob(OCI_CONFIG, &config(platform, layers));
        let layers: Vec<Value> =
            layers.iter().map(|layer| self.blob(packing.media_type(), &packing.pack(layer))).collect();
        self.manifest(&config, &layers)
    }

    /// Stores a manifest of these descriptors and gives its own.
    pub(crate) fn manifest(&self, config: &Value, layers: &[Value]) -> Value {
        let manifest =
            json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
        self.blob(OCI_MANIFEST, &serde_json::to_vec(&manifest).unwrap())
    }

    /// Stores an index of these descriptors and gives its own.
    pub(crate) fn nested_index(&self, manifests: &[Value]) -> Value {
        let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests});
        self.blob(OCI_INDEX, &serde_json::to_vec(&index).unwrap())
    }

    /// Writes the layout's own index.
    pub(crate) fn index(&self, manifests: &[Value]) {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        fs::write(self.dir.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    }

    /// The file of a blob.
    pub(crate) fn blob_path(&self, digest: &str) -> PathBuf {
        self.dir.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
    }

    /// The source string of a tag, or of the only image.
    pub(crate) fn source(&self, tag: Option<&str>) -> String {
        match tag {
            Some(tag) => format!("oci:{}:{tag}", self.dir.display()),
            None => format!("oci:{}", self.dir.display()),
        }
    }
}

/// A descriptor with a tag.
pub(crate) fn tagged(mut descriptor: Value, tag: &str) -> Value {
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
    descriptor
}

/// A descriptor for `OS/ARCH[/VARIANT]`.
pub(crate) fn for_platform(mut descriptor: Value, platform: &str) -> Value {
    let parts: Vec<&str> = platform.split('/').collect();
    descriptor["platform"] = json!({"os": parts[0], "architecture": parts[1]});
    if let Some(variant) = parts.get(2) {
        descriptor["platform"]["variant"] = json!(variant);
    }
    descriptor
}
