//! Where images come from: registries, OCI layouts, archives.
//!
//! A [`SourceSpec`] is what a person writes, in skopeo's `containers-transports(5)` syntax; [`open`] makes a
//! [`Source`] of it, which answers two questions: what the image for a platform is made of, and the raw bytes
//! of a layer. Invariant: manifests and configs were checked against their digests before anyone sees them;
//! layers stream unchecked, and whoever reads one reads it through [`Verified`] to its end.
//! Formats: OCI image-spec and distribution-spec 1.1, Docker's manifest version 2, schema 2.

mod archive;
mod credentials;
mod digest;
mod docker_archive;
mod document;
mod error;
mod layer;
mod layout;
mod layout_index;
mod platform;
mod reference;
mod registry;
mod resolve;
mod spec;
mod verified;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::AsyncRead;

pub use credentials::CredentialFiles;
pub use digest::Digest;
pub use error::SourceError;
pub use layer::{LayerCompression, LayerDescriptor};
pub use platform::Platform;
pub use reference::{Reference, Version};
pub use registry::{RegistryAccess, RetryPolicy};
pub use spec::{ArchiveChoice, LayoutChoice, SourceSpec};
pub use verified::{Verified, VerifyError};

use archive::Archive;
use docker_archive::DockerArchive;
use layout::{Files, Layout};
use registry::Registry;

/// The raw bytes of a blob, as they come.
pub type BlobStream = Box<dyn AsyncRead + Send + Unpin>;

/// Everything about opening a source that its name does not say.
#[derive(Debug, Clone, Default)]
pub struct SourceOptions {
    /// How to speak to a registry.
    pub access: RegistryAccess,
    /// Where the user keeps registry credentials; none by default.
    pub credentials: CredentialFiles,
    /// PEM files of certificate authorities to trust besides the system's, for registries with their own.
    pub root_certificates: Vec<PathBuf>,
    /// How patiently a registry is asked.
    pub retry: RetryPolicy,
}

/// An image, for one platform, of which nothing but manifest and config were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedImage {
    /// The image config's JSON as it was stored, byte for byte; verified.
    pub config: Vec<u8>,
    /// The digest of the platform's manifest; a docker archive has none.
    pub manifest_digest: Option<Digest>,
    /// The layers from the bottom up, as many as the config has diff ids.
    pub layers: Vec<LayerDescriptor>,
}

/// One image somewhere.
#[async_trait]
pub trait Source: Send + Sync {
    /// Finds the image for `platform` and reads its manifest and config.
    async fn resolve(&self, platform: &Platform) -> Result<ResolvedImage, SourceError>;

    /// The raw blob of a layer of [`Source::resolve`], unverified: wrap it in [`Verified`].
    async fn layer(&self, layer: &LayerDescriptor) -> Result<BlobStream, SourceError>;
}

/// Opens the source that `spec` names. A registry is not contacted before [`Source::resolve`].
pub async fn open(spec: &SourceSpec, options: &SourceOptions) -> Result<Box<dyn Source>, SourceError> {
    Ok(match spec {
        SourceSpec::Registry(reference) => Box::new(Registry::new(reference.clone(), options)?),
        SourceSpec::OciLayout { dir, choice } => {
            let name = format!("oci:{}", dir.display());
            Box::new(Layout::new(Files::Dir(dir.clone()), name, choice.clone()))
        }
        SourceSpec::OciArchive { file, choice } => {
            let name = format!("oci-archive:{}", file.display());
            let archive = Arc::new(Archive::open(file).await?);
            Box::new(Layout::new(Files::Archive(archive), name, choice.clone()))
        }
        SourceSpec::DockerArchive { file, choice } => {
            let name = format!("docker-archive:{}", file.display());
            let archive = Arc::new(Archive::open(file).await?);
            Box::new(DockerArchive::new(archive, name, choice.clone()))
        }
    })
}
