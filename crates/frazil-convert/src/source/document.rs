//! The JSON documents of an image: index or manifest list, manifest, config.
//!
//! Invariant: a document has exactly one reading. One that could be taken both for an index and for a
//! manifest is refused (CVE-2021-41190), and so is one that contradicts the type it was announced as.
//! Format: OCI image-spec `image-index.md`, `manifest.md`, `config.md`; Docker's image manifest version 2,
//! schema 2, whose fields are the same.

use std::collections::HashMap;

use frazil_format::DiffId;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{Digest, Platform, SourceError};

/// Largest manifest or index, in bytes: the size that registries accept.
pub(super) const MAX_MANIFEST_BYTES: u64 = 4 << 20;
/// Largest image config, in bytes.
pub(super) const MAX_CONFIG_BYTES: u64 = 8 << 20;
/// Most layers of an image; Docker itself stops at 127.
pub(super) const MAX_LAYERS: usize = 1000;

/// The media types to ask a registry for.
pub(super) const ACCEPTED_MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

const REF_NAME: &str = "org.opencontainers.image.ref.name";
const DOCKER_REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// A blob or manifest that another document names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// One manifest of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) descriptor: Descriptor,
    pub(super) platform: Option<Platform>,
    pub(super) tag: Option<String>,
}

/// An index or a manifest.
#[derive(Debug)]
pub(super) enum Document {
    /// The images of an index; attestations and the like are already left out.
    Index(Vec<IndexEntry>),
    /// One image.
    Manifest { config: Descriptor, layers: Vec<Descriptor> },
}

/// What conversion needs of an image config.
#[derive(Debug)]
pub(super) struct Config {
    /// What the image is for, if the config says it.
    pub(super) platform: Option<Platform>,
    pub(super) diff_ids: Vec<DiffId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Index,
    Manifest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DocumentWire {
    schema_version: Option<u64>,
    media_type: Option<String>,
    config: Option<DescriptorWire>,
    layers: Option<Vec<DescriptorWire>>,
    manifests: Option<Vec<DescriptorWire>>,
    fs_layers: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescriptorWire {
    media_type: Option<String>,
    digest: String,
    size: u64,
    platform: Option<PlatformWire>,
    annotations: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
struct PlatformWire {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

#[derive(Deserialize)]
struct ConfigWire {
    #[serde(flatten)]
    platform: PlatformWire,
    rootfs: Option<RootfsWire>,
}

#[derive(Deserialize)]
struct RootfsWire {
    diff_ids: Option<Vec<String>>,
}

/// Parses JSON of a known kind, and names the document when it is malformed.
pub(super) fn from_json<T: DeserializeOwned>(
    bytes: &[u8],
    what: &'static str,
    name: &dyn std::fmt::Display,
) -> Result<T, SourceError> {
    serde_json::from_slice(bytes).map_err(|source| SourceError::Json { what, name: name.to_string(), source })
}

impl Document {
    /// Reads a document that was announced as `announced` by a descriptor or a `Content-Type`.
    pub(super) fn parse(
        bytes: &[u8],
        name: &dyn std::fmt::Display,
        announced: Option<&str>,
    ) -> Result<Self, SourceError> {
        let wire: DocumentWire = from_json(bytes, "manifest", name)?;
        let refuse = |reason: &str| SourceError::unsupported_manifest(name, reason);
        if wire.schema_version == Some(1) || wire.fs_layers.is_some() {
            return Err(refuse("it is of Docker's schema 1, which has no config; push the image again"));
        }
        if wire.schema_version != Some(2) {
            return Err(refuse("its schemaVersion is not 2"));
        }
        let kind = wire.kind().map_err(|reason| SourceError::unsupported_manifest(name, reason))?;
        if announced.and_then(kind_of).is_some_and(|announced| announced != kind) {
            return Err(refuse("it is not of the type that it was announced as"));
        }
        match (kind, wire.manifests, wire.config, wire.layers) {
            (Kind::Index, manifests, None, None) => Ok(Self::Index(entries(manifests.unwrap_or_default())?)),
            (Kind::Manifest, None, Some(config), layers) => Ok(Self::Manifest {
                config: config.try_into()?,
                layers: layers
                    .unwrap_or_default()
                    .into_iter()
                    .map(TryInto::try_into)
                    .collect::<Result<_, _>>()?,
            }),
            (Kind::Manifest, None, None, _) => Err(refuse("it has no config")),
            _ => Err(refuse("it is both an index and a manifest")),
        }
    }
}

impl DocumentWire {
    /// Which kind the document says it is, or has the fields of.
    fn kind(&self) -> Result<Kind, String> {
        match self.media_type.as_deref().filter(|media_type| !media_type.is_empty()) {
            Some(media_type) => {
                kind_of(media_type).ok_or_else(|| format!("its media type is '{media_type}'"))
            }
            None if self.manifests.is_some() => Ok(Kind::Index),
            None => Ok(Kind::Manifest),
        }
    }
}

fn kind_of(media_type: &str) -> Option<Kind> {
    match media_type.split(';').next().unwrap_or_default().trim() {
        "application/vnd.oci.image.index.v1+json"
        | "application/vnd.docker.distribution.manifest.list.v2+json" => Some(Kind::Index),
        "application/vnd.oci.image.manifest.v1+json"
        | "application/vnd.docker.distribution.manifest.v2+json" => Some(Kind::Manifest),
        _ => None,
    }
}

fn entries(wires: Vec<DescriptorWire>) -> Result<Vec<IndexEntry>, SourceError> {
    wires.into_iter().filter(DescriptorWire::is_image).map(IndexEntry::try_from).collect()
}

impl DescriptorWire {
    /// Builders put attestations into the index, as manifests for a platform that does not exist.
    fn is_image(&self) -> bool {
        let unknown = self.platform.as_ref().is_some_and(|platform| {
            platform.os.as_deref() == Some("unknown") && platform.architecture.as_deref() == Some("unknown")
        });
        let attached = self
            .annotations
            .as_ref()
            .is_some_and(|annotations| annotations.contains_key(DOCKER_REFERENCE_TYPE));
        !unknown && !attached
    }
}

impl TryFrom<DescriptorWire> for Descriptor {
    type Error = SourceError;

    fn try_from(wire: DescriptorWire) -> Result<Self, SourceError> {
        Ok(Self {
            media_type: wire.media_type.unwrap_or_default(),
            digest: wire.digest.parse()?,
            size: wire.size,
        })
    }
}

impl TryFrom<DescriptorWire> for IndexEntry {
    type Error = SourceError;

    fn try_from(mut wire: DescriptorWire) -> Result<Self, SourceError> {
        let platform = wire.platform.take().and_then(PlatformWire::platform);
        let tag = wire.annotations.take().and_then(|mut annotations| annotations.remove(REF_NAME));
        Ok(Self { descriptor: wire.try_into()?, platform, tag })
    }
}

impl PlatformWire {
    /// The platform, unless it was left empty.
    fn platform(self) -> Option<Platform> {
        let os = self.os.filter(|os| !os.is_empty())?;
        let architecture = self.architecture.filter(|architecture| !architecture.is_empty())?;
        Some(Platform::new(&os, &architecture, self.variant.as_deref()))
    }
}

impl Config {
    /// Reads an image config.
    pub(super) fn parse(bytes: &[u8], name: &dyn std::fmt::Display) -> Result<Self, SourceError> {
        let wire: ConfigWire = from_json(bytes, "config", name)?;
        let diff_ids = wire.rootfs.and_then(|rootfs| rootfs.diff_ids).unwrap_or_default();
        let diff_ids = diff_ids
            .iter()
            .map(|text| text.parse::<Digest>().map(|digest| DiffId::from_bytes(*digest.as_bytes())))
            .collect::<Result<_, _>>()?;
        Ok(Self { platform: wire.platform.platform(), diff_ids })
    }

    /// Refuses an image that says it is for another machine than `wanted`.
    pub(super) fn check_platform(&self, wanted: &Platform) -> Result<(), SourceError> {
        match &self.platform {
            Some(offered) if !wanted.same_machine(offered) => {
                Err(SourceError::MissingPlatform { wanted: wanted.clone(), available: vec![offered.clone()] })
            }
            _ => Ok(()),
        }
    }

    /// Refuses a manifest whose layers do not pair up with the diff ids.
    pub(super) fn check_layers(
        &self,
        layers: usize,
        name: &dyn std::fmt::Display,
    ) -> Result<(), SourceError> {
        if layers > MAX_LAYERS {
            return Err(SourceError::TooMany { what: "layers", name: name.to_string(), limit: MAX_LAYERS });
        }
        if layers != self.diff_ids.len() {
            return Err(SourceError::LayerCount { layers, diff_ids: self.diff_ids.len() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str, announced: Option<&str>) -> Result<Document, SourceError> {
        Document::parse(json.as_bytes(), &"test", announced)
    }

    fn descriptor(more: &str) -> String {
        format!(r#"{{"mediaType":"x","size":3,"digest":"{}"{more}}}"#, Digest::of(b"abc"))
    }

    #[test]
    fn attestations_are_no_images() {
        let index = format!(
            r#"{{"schemaVersion":2,"manifests":[{},{},{}]}}"#,
            descriptor(r#","platform":{"os":"linux","architecture":"arm64","variant":"v8"}"#),
            descriptor(r#","platform":{"os":"unknown","architecture":"unknown"}"#),
            descriptor(r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"}"#),
        );
        let Document::Index(entries) = parse(&index, None).unwrap() else { panic!("not an index") };
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].platform, Some("linux/arm64".parse().unwrap()));
    }

    #[test]
    fn a_document_with_two_readings_is_refused() {
        let both = format!(r#"{{"schemaVersion":2,"config":{},"manifests":[]}}"#, descriptor(""));
        assert!(matches!(parse(&both, None), Err(SourceError::UnsupportedManifest { .. })));
        let manifest = format!(r#"{{"schemaVersion":2,"config":{}}}"#, descriptor(""));
        assert!(parse(&manifest, None).is_ok());
        let as_index = parse(&manifest, Some("application/vnd.oci.image.index.v1+json"));
        assert!(matches!(as_index, Err(SourceError::UnsupportedManifest { .. })));
        let twice = format!(r#"{{"schemaVersion":2,"config":{0},"config":{0}}}"#, descriptor(""));
        assert!(matches!(parse(&twice, None), Err(SourceError::Json { .. })));
    }

    #[test]
    fn schema_1_is_named_as_what_it_is() {
        let error = parse(r#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#, None).unwrap_err();
        assert!(error.to_string().contains("schema 1"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn no_json_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..64)) {
            let _ = Document::parse(&bytes, &"test", None);
            let _ = Config::parse(&bytes, &"test");
        }
    }
}
