//! Everything that can go wrong between a source's name and its verified bytes.

use std::io;
use std::path::PathBuf;

use super::digest::Digest;
use super::spec::list;
use super::verified::VerifyError;
use super::{Platform, RegistryAccess};

/// Why an image could not be read from its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The text names no transport that is known.
    #[error(
        "'{text}' names no known transport; a source is one of \
         docker://HOST/REPO:TAG (for example docker://debian:12), \
         oci:DIR[:TAG|:@DIGEST], oci-archive:FILE[:TAG|:@DIGEST], docker-archive:FILE[:REF]"
    )]
    UnknownTransport {
        /// What was written.
        text: String,
        /// What was probably meant.
        guess: Option<String>,
    },
    /// The transport is known, the rest is not of its form.
    #[error("'{text}' is not a source: {reason}")]
    MalformedSource {
        /// What was written.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Not `[HOST/]REPO[:TAG][@DIGEST]`.
    #[error("'{text}' is not an image reference: {reason}")]
    MalformedReference {
        /// What was written.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Not `OS/ARCH[/VARIANT]`.
    #[error("'{text}' is not a platform; one is written OS/ARCH[/VARIANT], for example linux/arm64")]
    MalformedPlatform {
        /// What was written.
        text: String,
    },
    /// Not `sha256:` and 64 lowercase hex digits.
    #[error("'{text}' is not a digest")]
    MalformedDigest {
        /// What was written.
        text: String,
    },
    /// A digest by another algorithm than sha256.
    #[error("digest '{text}' is not supported: only sha256 is")]
    UnsupportedDigest {
        /// What was written.
        text: String,
    },

    /// A file or directory of the source could not be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory or archive has no `oci-layout` file of a known version.
    #[error("{} is not an OCI layout: {reason}", path.display())]
    NotALayout {
        /// The directory or archive.
        path: PathBuf,
        /// What is missing or wrong.
        reason: &'static str,
    },
    /// A blob that the image names is not there.
    #[error("{} has no '{name}'", path.display())]
    MissingEntry {
        /// The layout's directory or the archive.
        path: PathBuf,
        /// The blob's name in it.
        name: String,
    },
    /// The archive is compressed as a whole, so nothing in it can be found without unpacking it.
    #[error("{} is compressed with {format}; an archive is read in place and must be a plain tar", path.display())]
    CompressedArchive {
        /// The archive.
        path: PathBuf,
        /// The compression's name.
        format: &'static str,
    },
    /// The archive is no tar, or a broken one.
    #[error("{} is not a readable tar archive", path.display())]
    BadArchive {
        /// The archive.
        path: PathBuf,
        /// What the tar reader said.
        source: io::Error,
    },
    /// An entry of the archive cannot be used.
    #[error("entry '{name}' of {}: {reason}", path.display())]
    BadEntry {
        /// The archive.
        path: PathBuf,
        /// The entry.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// The source holds several images and none was chosen.
    #[error("{source_name} holds several images; choose one of: {}", list(available))]
    TagNeeded {
        /// The source.
        source_name: String,
        /// The names that can be chosen.
        available: Vec<String>,
    },
    /// The source holds no image of that name.
    #[error("{source_name} has no image '{wanted}'; it has: {}", list(available))]
    UnknownTag {
        /// The source.
        source_name: String,
        /// What was asked for.
        wanted: String,
        /// The names that are there.
        available: Vec<String>,
    },
    /// The source holds several images that nothing but their digests tells apart.
    #[error("{source_name} holds several images{}: {}", named(tag.as_deref()), list(digests))]
    Ambiguous {
        /// The source.
        source_name: String,
        /// The name that they share; none if they have none.
        tag: Option<String>,
        /// The digests of their manifests.
        digests: Vec<Digest>,
    },
    /// The image is not built for the platform.
    #[error("no image for {wanted}; there is: {}", list(available))]
    MissingPlatform {
        /// What was asked for.
        wanted: Platform,
        /// What is there.
        available: Vec<Platform>,
    },

    /// A JSON document does not have its format's form.
    #[error("malformed {what} {name}")]
    Json {
        /// Which kind of document.
        what: &'static str,
        /// Its digest or file name.
        name: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The manifest is of a kind that is not read.
    #[error("cannot use manifest {name}: {reason}")]
    UnsupportedManifest {
        /// Its digest or reference.
        name: String,
        /// What it is.
        reason: String,
    },
    /// A document or blob is larger than its bound.
    #[error("{what} {name} has {size} bytes, over the limit of {limit}")]
    TooLarge {
        /// Which kind of document.
        what: &'static str,
        /// Its digest or file name.
        name: String,
        /// Its size in bytes, or how many had come when reading stopped.
        size: u64,
        /// The bound in bytes.
        limit: u64,
    },
    /// More of something than any real image has.
    #[error("{what} of {name} are more than {limit}")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// Of which image or archive.
        name: String,
        /// The bound.
        limit: usize,
    },
    /// The manifest's layers and the config's diff ids do not pair up.
    #[error("the manifest has {layers} layers but the config has {diff_ids} diff ids")]
    LayerCount {
        /// Layers of the manifest.
        layers: usize,
        /// Diff ids of the config.
        diff_ids: usize,
    },
    /// A layer that is to be fetched from outside of the registry.
    #[error("layer {index} ({media_type}) is a foreign layer, which is not distributed with its image")]
    ForeignLayer {
        /// The layer's position, from 0.
        index: usize,
        /// Its media type.
        media_type: String,
    },
    /// A layer of a kind that is not read.
    #[error("layer {index} has unsupported media type '{media_type}'")]
    UnknownLayerType {
        /// The layer's position, from 0.
        index: usize,
        /// Its media type.
        media_type: String,
    },
    /// The bytes are not those that were named.
    #[error("{what} {name} is corrupt")]
    Corrupt {
        /// Which kind of document.
        what: &'static str,
        /// Its digest or file name.
        name: String,
        /// What differs.
        source: VerifyError,
    },

    /// The HTTP client could not be made, for example because the machine has no root certificates.
    #[error("cannot set up HTTPS")]
    HttpClient {
        /// Why.
        source: reqwest::Error,
    },
    /// The registry does not answer.
    #[error("cannot reach registry {host}")]
    Unreachable {
        /// The registry's name.
        host: String,
        /// How it was asked.
        access: RegistryAccess,
        /// Why.
        source: reqwest::Error,
    },
    /// The registry took longer than its time limit.
    #[error("registry {host} did not answer within {seconds} s")]
    Timeout {
        /// The registry's name.
        host: String,
        /// The limit.
        seconds: u64,
    },
    /// The registry refuses these credentials, or none at all.
    #[error("registry {host} denies access to {repository} {credentials}{detail}")]
    Denied {
        /// The registry's name.
        host: String,
        /// The repository.
        repository: String,
        /// With which credentials it was asked.
        credentials: &'static str,
        /// What the registry said, or nothing.
        detail: String,
    },
    /// The registry has no such repository, tag or blob.
    #[error("registry {host} has no {what}")]
    NotInRegistry {
        /// The registry's name.
        host: String,
        /// What was asked for.
        what: String,
    },
    /// The registry answers with an error.
    #[error("registry {host} answered {status} to a request for {what}{detail}")]
    Status {
        /// The registry's name.
        host: String,
        /// What was asked for.
        what: String,
        /// The HTTP status code.
        status: u16,
        /// What the registry said, or nothing.
        detail: String,
    },
    /// The registry does not speak the protocol.
    #[error("registry {host} violates the protocol: {reason}")]
    Protocol {
        /// The registry's name.
        host: String,
        /// How.
        reason: String,
    },
    /// A download broke more often than is tried again.
    #[error("the download of {digest} broke {breaks} times, at last at byte {offset}")]
    Broken {
        /// The blob.
        digest: Digest,
        /// How often.
        breaks: u32,
        /// Bytes that had arrived.
        offset: u64,
    },
    /// The user's stored credentials cannot be read.
    #[error("cannot take credentials for {host} from {}: {reason}", path.display())]
    Credentials {
        /// The registry's name.
        host: String,
        /// The credentials file.
        path: PathBuf,
        /// Why, without any secret.
        reason: String,
    },
    /// The descriptor came from another source's `resolve`.
    #[error("layer {index} is not a layer of this source")]
    NotOfThisSource {
        /// The layer's position, from 0.
        index: usize,
    },
    /// A worker thread ended before its work was done.
    #[error("a reading task was cancelled")]
    Cancelled,
}

impl SourceError {
    /// What a person could do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownTransport { guess: Some(guess), .. } => Some(format!("did you mean {guess}?")),
            Self::CompressedArchive { path, format } => {
                let tool = match *format {
                    "gzip" => "gunzip --keep",
                    "zstd" => "zstd -d",
                    "bzip2" => "bunzip2 --keep",
                    _ => "unxz --keep",
                };
                Some(format!("unpack it first: {tool} {}", path.display()))
            }
            Self::TagNeeded { source_name, available } => {
                available.first().map(|first| format!("for example {source_name}:{first}"))
            }
            Self::Ambiguous { source_name, digests, .. } => {
                digests.first().map(|first| format!("choose by digest, for example {source_name}:@{first}"))
            }
            Self::MissingPlatform { available, .. } => {
                available.first().map(|first| format!("pass --platform {first}"))
            }
            Self::UnsupportedDigest { .. } => {
                Some("copy the image with skopeo, which writes sha256 digests".to_owned())
            }
            Self::HttpClient { .. } => {
                Some("install ca-certificates, or name a bundle in SSL_CERT_FILE".to_owned())
            }
            Self::Unreachable { access: RegistryAccess::Https, .. } => {
                Some("if this registry speaks plain HTTP, ask for it with --plain-http".to_owned())
            }
            Self::Denied { host, .. } => Some(format!("log in with: docker login {host}")),
            _ => None,
        }
    }

    pub(super) fn unsupported_manifest(name: impl ToString, reason: impl Into<String>) -> Self {
        Self::UnsupportedManifest { name: name.to_string(), reason: reason.into() }
    }
}

fn named(tag: Option<&str>) -> String {
    tag.map_or(" without a name".to_owned(), |tag| format!(" of the name '{tag}'"))
}

/// Streams carry a source's error inside of an `io::Error`.
impl From<SourceError> for io::Error {
    fn from(error: SourceError) -> Self {
        let kind = match error {
            SourceError::Corrupt { .. } => io::ErrorKind::InvalidData,
            SourceError::NotInRegistry { .. } | SourceError::MissingEntry { .. } => io::ErrorKind::NotFound,
            SourceError::Denied { .. } => io::ErrorKind::PermissionDenied,
            SourceError::Timeout { .. } => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
