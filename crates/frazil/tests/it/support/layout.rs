//! OCI layouts written blob by blob, so that every descriptor can lie.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::image::Image;
use super::objects;
use super::tool::{cannot_start, tool};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of an uncompressed layer.
pub(crate) const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
/// The media type of a layer in gzip.
pub(crate) const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An OCI layout; each of its images is a tag.
pub(crate) struct Layout {
    directory: PathBuf,
}

impl Layout {
    /// An empty layout in the new directory `directory`.
    #[track_caller]
    pub(crate) fn create(directory: &Path) -> Self {
        fs::create_dir_all(directory.join("blobs/sha256")).unwrap();
        fs::write(directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { directory: directory.to_owned() }
    }

    /// An image for this machine of layers (tar) that are stored uncompressed, under the tag `tag`.
    #[track_caller]
    pub(crate) fn image(&self, tag: &str, layers: &[&[u8]]) -> Image {
        let diff_ids: Vec<_> = layers.iter().map(|layer| digest(layer)).collect();
        let blobs: Vec<_> = layers.iter().map(|layer| self.blob(TAR, layer)).collect();
        self.image_of(tag, &diff_ids, &blobs)
    }

    /// An image of one layer in gzip.
    #[track_caller]
    pub(crate) fn gzip_image(&self, tag: &str, layer: &[u8]) -> Image {
        self.image_of(tag, &[digest(layer)], &[self.blob(GZIP, &gzip(layer))])
    }

    /// An image whose config and manifest say just this.
    #[track_caller]
    pub(crate) fn image_of(&self, tag: &str, diff_ids: &[String], blobs: &[Value]) -> Image {
        let config = json!({
            "os": "linux",
            "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" },
            "config": { "Cmd": ["/bin/sh"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = self.blob(CONFIG, &serde_json::to_vec(&config).unwrap());
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": blobs });
        let manifest = self.blob(MANIFEST, &serde_json::to_vec(&manifest).unwrap());
        self.tag(tag, manifest);
        Image::new(&self.directory, tag)
    }

    /// Makes a descriptor one of the layout's, under the tag `tag`.
    #[track_caller]
    pub(crate) fn tag(&self, tag: &str, mut descriptor: Value) {
        let file = self.directory.join("index.json");
        let mut index = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
            Err(_) => json!({ "schemaVersion": 2, "manifests": [] }),
        };
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        index["manifests"].as_array_mut().unwrap().push(descriptor);
        fs::write(file, serde_json::to_vec(&index).unwrap()).unwrap();
    }

    /// Stores a blob and gives its descriptor.
    #[track_caller]
    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        fs::write(self.blob_path(&digest), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    /// Makes a file a blob, and gives its descriptor: for what should not be held in memory.
    #[track_caller]
    pub(crate) fn blob_of_file(&self, media_type: &str, file: &Path) -> Value {
        let (digest, size) = (format!("sha256:{}", objects::digest(file)), fs::metadata(file).unwrap().len());
        fs::rename(file, self.blob_path(&digest)).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": size })
    }

    /// The file of a blob.
    pub(crate) fn blob_path(&self, digest: &str) -> PathBuf {
        self.directory.join("blobs").join(digest.replace(':', "/"))
    }
}

/// The digest of these bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// These bytes, as gzip writes them.
#[track_caller]
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut command = tool("gzip");
    command.args(["-c", "-1", "-n"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process =
        command.spawn().unwrap_or_else(|error| panic!("{}", cannot_start(command.get_program(), &error)));
    let mut stdin = process.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut stdin, bytes).unwrap());
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    })
}
