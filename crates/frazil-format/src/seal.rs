//! Sealing: convergent encryption that is safe with compression (docs/FORMAT.md, "Sealing").
//!
//! ```text
//! key    = BLAKE3 derive_key("frazil chunk key v1", scope secret ‖ root id ‖ BLAKE3(payload))
//! sealed = AES-256-GCM(key, nonce 0, no associated data, payload)
//! id     = BLAKE3(sealed)
//! ```
//!
//! Invariant: a [`SealedChunk`] is always the one that its id names. It comes out of [`Sealer::seal`] or
//! [`SealedChunk::verify`] and from nowhere else.

use std::cell::RefCell;

use bytes::Bytes;

use crate::bounds::{MAX_CHUNK_LEN, MAX_SEALED_LEN, within};
use crate::cipher::{self, OneTimeKey};
use crate::domains::CHUNK_KEY;
use crate::payload::{self, Payload};
use crate::{ChunkId, ChunkKey, FormatError, RootId, ScopeSecret};

/// Seals payloads for one scope and one root.
#[derive(Clone, Debug)]
pub struct Sealer {
    secret: ScopeSecret,
    root: RootId,
}

/// What sealing one payload gives.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The sealed chunk's name.
    pub id: ChunkId,
    /// What opens it.
    pub key: ChunkKey,
    /// The sealed bytes.
    pub chunk: SealedChunk,
}

/// Sealed bytes that are known to be those of their chunk id. That can be checked without a key, but not
/// read.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedChunk(Bytes);

impl Sealer {
    /// A sealer for the scope of this secret in this root.
    pub fn new(secret: &ScopeSecret, root: RootId) -> Self {
        Self { secret: secret.clone(), root }
    }

    /// Seals a payload. The same payload, scope and root always give the same bytes.
    ///
    /// # Errors
    /// [`FormatError::TooLong`] if the payload is of a chunk of more than [`MAX_CHUNK_LEN`] bytes.
    pub fn seal(&self, payload: &Payload) -> Result<Sealed, FormatError> {
        let plain = payload.as_bytes();
        within("payload", plain.len() as u64, u64::from(MAX_CHUNK_LEN) + 1)?;
        let key = self.key_of(plain);
        let sealed = OneTimeKey::new(key.clone())
            .seal(plain)
            .map_err(|cipher::CannotSeal| FormatError::CannotSeal { what: "chunk" })?;
        Ok(Sealed {
            id: ChunkId::of(&sealed),
            key: ChunkKey::from_derived(key),
            chunk: SealedChunk(Bytes::from(sealed)),
        })
    }

    fn key_of(&self, payload: &[u8]) -> zeroize::Zeroizing<[u8; 32]> {
        let root = self.root.number().to_le_bytes();
        CHUNK_KEY.derive(&[self.secret.as_bytes(), &root, blake3::hash(payload).as_bytes()])
    }
}

impl SealedChunk {
    /// Foreign bytes, if they are the chunk that the id names.
    ///
    /// # Errors
    /// [`FormatError::WrongChunk`] if they are not.
    pub fn verify(id: &ChunkId, bytes: Bytes) -> Result<Self, FormatError> {
        let found = ChunkId::of(&bytes);
        if found == *id { Ok(Self(bytes)) } else { Err(FormatError::WrongChunk { expected: *id, found }) }
    }

    /// The sealed bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The sealed bytes, to keep.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The chunk copied into memory of its own length: a cache must hold what it counts, and not the receive
    /// buffer that a short chunk happens to be a part of.
    pub fn into_compact(self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// How many bytes there are.
    #[expect(clippy::len_without_is_empty, reason = "a sealed chunk is never empty: it ends in a tag")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl std::fmt::Debug for SealedChunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedChunk({} bytes)", self.0.len())
    }
}

thread_local! {
    /// The payload between cipher and codec, at most [`MAX_SEALED_LEN`] bytes per thread that opens chunks.
    static PAYLOAD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Opens a sealed chunk of `len` bytes of plaintext.
///
/// # Errors
/// [`FormatError::WrongChunkKey`] with a wrong key; otherwise what is wrong with the payload. A payload that would
/// decompress to any other length is refused before it allocates.
pub fn open_chunk(chunk: &SealedChunk, key: &ChunkKey, len: u32) -> Result<Vec<u8>, FormatError> {
    within("chunk", u64::from(len), u64::from(MAX_CHUNK_LEN))?;
    within("sealed chunk", chunk.len() as u64, u64::from(MAX_SEALED_LEN))?;
    let wrong_key = |cipher::NotAuthentic| FormatError::WrongChunkKey { chunk: ChunkId::of(&chunk.0) };
    PAYLOAD.with_borrow_mut(|buffer| {
        let payload_len = cipher::plain_len(chunk.len()).map_err(wrong_key)?;
        if buffer.len() < payload_len {
            buffer.resize(payload_len, 0);
        }
        let payload = buffer.get_mut(..payload_len).unwrap_or_default();
        cipher::open_into(key.as_bytes(), &chunk.0, payload).map_err(wrong_key)?;
        payload::decompress(payload, len as usize)
    })
}
