//! One layer of an image as its source describes it, before any of its bytes were read.
//!
//! Format: OCI image-spec, `layer.md` and `media-types.md`; Docker's image manifest version 2, schema 2.

use frazil_format::DiffId;

use super::{Digest, SourceError};

/// How a layer's tar stream is compressed in its blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LayerCompression {
    /// The blob is the tar stream.
    None,
    /// gzip, possibly of several members.
    Gzip,
    /// zstd, possibly of several frames.
    Zstd,
}

/// A layer's place in its image, its blob and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerDescriptor {
    /// Position in the image, from 0 at the bottom.
    pub index: usize,
    /// Digest of the raw blob; a docker archive may not tell it.
    pub digest: Option<Digest>,
    /// Size of the raw blob in bytes.
    pub size: Option<u64>,
    /// sha256 of the uncompressed tar stream, as the (verified) config states it.
    pub diff_id: DiffId,
    /// How the blob is compressed.
    pub compression: LayerCompression,
    /// The archive's entry that holds the blob, where no digest names it.
    pub(super) entry: Option<String>,
}

impl LayerDescriptor {
    /// A layer whose blob is named by its digest.
    pub fn blob(
        index: usize,
        digest: Digest,
        size: u64,
        diff_id: DiffId,
        compression: LayerCompression,
    ) -> Self {
        Self { index, digest: Some(digest), size: Some(size), diff_id, compression, entry: None }
    }
}

impl LayerCompression {
    /// What a manifest's media type promises.
    pub(super) fn of_media_type(media_type: &str, index: usize) -> Result<Self, SourceError> {
        let media_type = media_type.trim();
        if media_type.contains(".nondistributable.") || media_type.contains(".foreign.") {
            return Err(SourceError::ForeignLayer { index, media_type: media_type.to_owned() });
        }
        match media_type {
            "application/vnd.oci.image.layer.v1.tar" | "application/vnd.docker.image.rootfs.diff.tar" => {
                Ok(Self::None)
            }
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.diff.tar+gzip" => Ok(Self::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd"
            | "application/vnd.docker.image.rootfs.diff.tar+zstd" => Ok(Self::Zstd),
            _ => Err(SourceError::UnknownLayerType { index, media_type: media_type.to_owned() }),
        }
    }

    /// What the first bytes of a blob show; used where nothing else tells.
    pub(super) fn sniff(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A zstd skippable frame, with which zstd:chunked and pzstd may start.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_of_both_worlds_are_known_and_others_refused() {
        let of = |media_type| LayerCompression::of_media_type(media_type, 3);
        assert_eq!(of("application/vnd.oci.image.layer.v1.tar").unwrap(), LayerCompression::None);
        assert_eq!(of("application/vnd.oci.image.layer.v1.tar+zstd").unwrap(), LayerCompression::Zstd);
        assert_eq!(of("application/vnd.docker.image.rootfs.diff.tar.gzip").unwrap(), LayerCompression::Gzip);
        for foreign in [
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
        ] {
            assert!(matches!(of(foreign), Err(SourceError::ForeignLayer { index: 3, .. })));
        }
        assert!(matches!(of("application/json"), Err(SourceError::UnknownLayerType { index: 3, .. })));
    }
}
