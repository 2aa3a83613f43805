//! Sealing: convergent encryption that is safe with compression.

use zeroize::Zeroizing;

/// The one-time key of one payload.
#[derive(Clone, PartialEq)]
pub struct ChunkKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for ChunkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkKey(..)")
    }
}
