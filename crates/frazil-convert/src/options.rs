//! How an image is converted, and on whose behalf.

use frazil_format::{Compression, ScopeSecret};
use frazil_store::KeyProvider;

use crate::CutParameters;
use crate::source::Platform;

/// The bound of an image that comes without another one: more than any image that is known, in bytes.
pub const DEFAULT_MAX_IMAGE_BYTES: u64 = 256 << 30;

/// How an image is converted.
#[derive(Clone, Debug)]
pub struct ConvertOptions {
    /// Which of a multi-platform image's images is taken.
    pub platform: Platform,
    /// How streams are cut.
    pub cut: CutParameters,
    /// How chunks are compressed.
    pub compression: Compression,
    /// Threads that compress and seal. The result does not depend on them.
    pub threads: usize,
    /// The most that an image's uncompressed layers, and the image itself, may have, in bytes.
    pub max_image_bytes: u64,
}

impl ConvertOptions {
    /// The defaults for a platform, one thread for each processor.
    pub fn new(platform: Platform) -> Self {
        Self {
            platform,
            cut: CutParameters::default(),
            compression: Compression::default(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            max_image_bytes: DEFAULT_MAX_IMAGE_BYTES,
        }
    }

    /// What shapes a layer index besides its layer: the name of a layer index depends on it.
    pub(crate) fn layer_parameters(&self) -> Vec<u8> {
        let mut bytes = self.cut.to_bytes();
        match self.compression {
            Compression::None => bytes.push(0),
            Compression::Zstd { level } => {
                bytes.push(1);
                bytes.extend_from_slice(&level.to_le_bytes());
            }
        }
        bytes
    }
}

/// On whose behalf an image is converted.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    /// Whose image it becomes.
    pub tenant: &'a str,
    /// The scope that its chunks are sealed for.
    pub scope: &'a ScopeSecret,
    /// Who wraps the manifest's data key.
    pub provider: &'a dyn KeyProvider,
}
