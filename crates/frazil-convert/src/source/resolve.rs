//! From a document that names an image to the one manifest of the wanted platform, and its verified config.
//!
//! Registries and OCI layouts take the same path; they differ only in how a blob is fetched. Invariant: every
//! byte that is parsed was checked against the digest and size that the document naming it gives.

use async_trait::async_trait;
use tokio::io::AsyncReadExt;

use super::document::{Config, Descriptor, Document, IndexEntry, MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES};
use super::{
    BlobStream, Digest, LayerCompression, LayerDescriptor, Platform, ResolvedImage, SourceError, Verified,
    VerifyError,
};

/// Most indexes between a name and its manifest: an OCI layout's own, a multi-platform one, one nested.
const MAX_INDEXES: usize = 3;

const CONFIG_MEDIA_TYPES: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// Content by digest.
#[async_trait]
pub(super) trait Blobs: Send + Sync {
    /// The bytes of a manifest or index, verified.
    async fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, SourceError>;

    /// The bytes of a config or layer, as they come.
    async fn blob(&self, digest: Digest, size: u64) -> Result<BlobStream, SourceError>;
}

/// Follows `document` (whose digest is `name`) to the image for `platform`.
pub(super) async fn resolve(
    blobs: &dyn Blobs,
    document: Document,
    name: Digest,
    platform: &Platform,
) -> Result<ResolvedImage, SourceError> {
    let (mut document, mut name) = (document, name);
    for _ in 0..=MAX_INDEXES {
        let entries = match document {
            Document::Manifest { config, layers } => {
                return image(blobs, name, &config, &layers, platform).await;
            }
            Document::Index(entries) => entries,
        };
        let chosen = choose(&entries, platform)?.descriptor.clone();
        let bytes = blobs.manifest(&chosen).await?;
        name = chosen.digest;
        document = Document::parse(&bytes, &name, Some(&chosen.media_type))?;
    }
    Err(SourceError::unsupported_manifest(name, "its indexes are nested too deeply"))
}

/// The entry for `wanted`: the best match, or the only one if it does not say what it is for.
fn choose<'a>(entries: &'a [IndexEntry], wanted: &Platform) -> Result<&'a IndexEntry, SourceError> {
    let matching = entries
        .iter()
        .filter_map(|entry| Some((wanted.preference(entry.platform.as_ref()?)?, entry)))
        .min_by_key(|(preference, _)| *preference);
    let unspecified = entries.iter().filter(|entry| entry.platform.is_none()).collect::<Vec<_>>();
    match (matching, unspecified.as_slice()) {
        (Some((_, entry)), _) => Ok(entry),
        (None, [only]) => Ok(only),
        _ => Err(SourceError::MissingPlatform {
            wanted: wanted.clone(),
            available: entries.iter().filter_map(|entry| entry.platform.clone()).collect(),
        }),
    }
}

async fn image(
    blobs: &dyn Blobs,
    manifest: Digest,
    config: &Descriptor,
    layers: &[Descriptor],
    platform: &Platform,
) -> Result<ResolvedImage, SourceError> {
    if !is_image(config) {
        let reason = format!("it is no container image: its config is of type '{}'", config.media_type);
        return Err(SourceError::unsupported_manifest(manifest, reason));
    }
    let bytes = config_blob(blobs, config).await?;
    let parsed = Config::parse(&bytes, &config.digest)?;
    parsed.check_platform(platform)?;
    parsed.check_layers(layers.len(), &manifest)?;
    let layers = layers
        .iter()
        .zip(&parsed.diff_ids)
        .enumerate()
        .map(|(index, (layer, diff_id))| {
            let compression = LayerCompression::of_media_type(&layer.media_type, index)?;
            Ok(LayerDescriptor::blob(index, layer.digest, layer.size, *diff_id, compression))
        })
        .collect::<Result<_, SourceError>>()?;
    Ok(ResolvedImage { config: bytes, manifest_digest: Some(manifest), layers })
}

/// What the image of a manifest is for, as its config says; none if that says nothing, or if it is no image.
pub(super) async fn platform_of(
    blobs: &dyn Blobs,
    manifest: &Descriptor,
) -> Result<Option<Platform>, SourceError> {
    let bytes = blobs.manifest(manifest).await?;
    match Document::parse(&bytes, &manifest.digest, Some(&manifest.media_type))? {
        Document::Manifest { config, .. } if is_image(&config) => {
            Ok(Config::parse(&config_blob(blobs, &config).await?, &config.digest)?.platform)
        }
        _ => Ok(None),
    }
}

fn is_image(config: &Descriptor) -> bool {
    CONFIG_MEDIA_TYPES.contains(&config.media_type.as_str())
}

async fn config_blob(blobs: &dyn Blobs, config: &Descriptor) -> Result<Vec<u8>, SourceError> {
    check_size(config, "config", MAX_CONFIG_BYTES)?;
    let stream = blobs.blob(config.digest, config.size).await?;
    read_verified(stream, config, "config").await
}

/// Refuses a manifest or config before any of it is read.
pub(super) fn check_size(descriptor: &Descriptor, what: &'static str, limit: u64) -> Result<(), SourceError> {
    if descriptor.size > limit {
        let (name, size) = (descriptor.digest.to_string(), descriptor.size);
        return Err(SourceError::TooLarge { what, name, size, limit });
    }
    Ok(())
}

/// Reads a manifest from a blob, which is how everything but a registry keeps it.
pub(super) async fn manifest_blob(
    blobs: &dyn Blobs,
    descriptor: &Descriptor,
) -> Result<Vec<u8>, SourceError> {
    check_size(descriptor, "manifest", MAX_MANIFEST_BYTES)?;
    let stream = blobs.blob(descriptor.digest, descriptor.size).await?;
    read_verified(stream, descriptor, "manifest").await
}

/// Reads a whole blob, whose size was checked before, and proves it.
async fn read_verified(
    stream: BlobStream,
    descriptor: &Descriptor,
    what: &'static str,
) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    Verified::new(stream, Some(descriptor.digest), Some(descriptor.size))
        .read_to_end(&mut bytes)
        .await
        .map_err(|error| blob_error(error, descriptor.digest, what))?;
    Ok(bytes)
}

/// Takes an error out of the stream that carried it.
fn blob_error(error: std::io::Error, digest: Digest, what: &'static str) -> SourceError {
    let name = digest.to_string();
    match error.downcast::<VerifyError>() {
        Ok(source) => SourceError::Corrupt { what, name, source },
        Err(error) => match error.downcast::<SourceError>() {
            Ok(error) => error,
            Err(source) => SourceError::Io { path: name.into(), source },
        },
    }
}
