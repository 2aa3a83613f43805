//! The limits of the format, all of them: nothing is read or written beyond these. docs/FORMAT.md lists them.

use crate::FormatError;

/// The most a chunk holds, in bytes.
pub const MAX_CHUNK_LEN: u32 = 4 << 20;

/// What compression and sealing add to a chunk at the most: the codec byte and the cipher's tag, in bytes.
pub const SEALING_OVERHEAD: u32 = 1 + 16;

/// The longest sealed chunk, in bytes.
pub const MAX_SEALED_LEN: u32 = MAX_CHUNK_LEN + SEALING_OVERHEAD;

/// The longest OCI configuration, in bytes. Registries refuse documents above 4 MiB.
pub const MAX_CONFIG_LEN: u64 = 16 << 20;

/// The longest body of a layer index before compression, in bytes: some two million entries.
pub const MAX_LAYER_INDEX_BODY_LEN: u64 = 512 << 20;

/// The most layers in an image. Container engines stop at 127.
pub const MAX_LAYERS: u64 = 1024;

/// The longest name of a tenant or image, in bytes of UTF-8.
pub const MAX_NAME_LEN: u64 = 255;

/// The longest provider name or key id of a wrapped key, in bytes of UTF-8.
pub const MAX_KEY_ID_LEN: u64 = 2048;

/// The longest wrapped data key, in bytes. Those of the big clouds stay below 1 KiB.
pub const MAX_WRAPPED_LEN: u64 = 16 << 10;

/// The highest address in an image or a stream, in bytes: what a file offset can say.
pub const MAX_IMAGE_LEN: u64 = i64::MAX as u64;

/// The most profiles beside one manifest: one for each command that its image is started with.
pub const MAX_PROFILES: u64 = 16;

/// The most chunks of a profile, and of a bundle.
pub const MAX_PROFILE_CHUNKS: u64 = 65_536;

/// The longest text that says what was started, in bytes of UTF-8.
pub const MAX_PROFILE_TEXT_LEN: u64 = 256;

/// The longest file of profiles, in bytes; a power of two.
pub const MAX_PROFILES_LEN: u64 = 4 << 20;

/// The longest bundle, in bytes.
pub const MAX_BUNDLE_LEN: u64 = 512 << 20;

/// Refuses what is beyond its limit.
pub(crate) fn within(what: &'static str, len: u64, limit: u64) -> Result<(), FormatError> {
    if len <= limit { Ok(()) } else { Err(FormatError::TooLong { what, len, limit }) }
}
