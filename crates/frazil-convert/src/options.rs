//! How an image is converted.

use std::collections::HashSet;
use std::sync::Arc;

use frazil_format::{ChunkId, Compression};

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
    /// How chunks of the tenant's own scope are compressed; by default as the scope's policy says.
    pub compression: Option<Compression>,
    /// Threads that compress and seal. The result does not depend on them.
    pub threads: usize,
    /// The most that an image's uncompressed layers, and the image itself, may have, in bytes.
    pub max_image_bytes: u64,
    /// Chunks of the store that are known to be damaged: their layers are read again, and they are written anew.
    pub distrusted: Arc<HashSet<ChunkId>>,
}

impl ConvertOptions {
    /// The defaults for a platform, one thread for each processor.
    pub fn new(platform: Platform) -> Self {
        Self {
            platform,
            cut: CutParameters::default(),
            compression: None,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            max_image_bytes: DEFAULT_MAX_IMAGE_BYTES,
            distrusted: Arc::default(),
        }
    }
}
