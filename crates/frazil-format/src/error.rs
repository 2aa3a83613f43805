//! What can be wrong with bytes: every way in which foreign bytes are refused, with the place where it showed.
//! No variant repeats its source or carries a secret.

use crate::{ChunkId, ManifestId, RootId};

/// Why bytes are not what they claim to be, or values not what can be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// A text that should name something does not.
    #[error("not a {kind}: {text:?}")]
    NotAnId {
        /// The type of id that was expected.
        kind: &'static str,
        /// What was found.
        text: String,
    },
    /// A text that should say how chunks are compressed does not.
    #[error("expected none, zstd, or zstd:LEVEL with a level from -7 to 22, not {text:?}")]
    BadCompression {
        /// What was found.
        text: String,
    },
    /// The first bytes are not those of this kind of file.
    #[error("not a {what}: the magic number is missing")]
    NotA {
        /// The kind of file that was expected.
        what: &'static str,
    },
    /// Written by a newer Frazil.
    #[error("{what} of version {version}; this program reads version {supported}")]
    UnknownVersion {
        /// The kind of file.
        what: &'static str,
        /// The version that was found.
        version: u32,
        /// The version that can be read.
        supported: u32,
    },
    /// Fewer bytes than the file itself says, or more.
    #[error("{what} is {present} bytes long, not {expected}")]
    WrongLength {
        /// What has the wrong length.
        what: &'static str,
        /// The length it has to have at least, in bytes.
        expected: u64,
        /// The length it has, in bytes.
        present: u64,
    },
    /// Longer than this format allows.
    #[error("{what} of {len} is more than {limit}")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length, in bytes or items.
        len: u64,
        /// The most that is allowed, in the same unit.
        limit: u64,
    },
    /// A section of a manifest that this program does not know, or not at this place.
    #[error("unexpected section {number} of kind {kind}, index {index}")]
    UnexpectedSection {
        /// The section's place in the section table.
        number: u64,
        /// The kind that was found.
        kind: u32,
        /// The index that was found.
        index: u32,
    },
    /// The bytes of a chunk are not those that the id names.
    #[error("the bytes are those of chunk {found}")]
    WrongChunk {
        /// The chunk that was asked for.
        expected: ChunkId,
        /// The id of the bytes that came.
        found: ChunkId,
    },
    /// The key is not the one that this chunk was sealed with.
    #[error("wrong key for chunk {chunk}")]
    WrongChunkKey {
        /// The chunk.
        chunk: ChunkId,
    },
    /// The bytes of a manifest are not those that the id names.
    #[error("manifest {expected} is corrupt: its header is that of {found}")]
    WrongManifest {
        /// The manifest that was asked for.
        expected: ManifestId,
        /// The id of the bytes that came.
        found: ManifestId,
    },
    /// The file belongs to another root.
    #[error("{what} of root {found}, not of root {expected}")]
    WrongRoot {
        /// The kind of file.
        what: &'static str,
        /// The root that was asked for.
        expected: RootId,
        /// The root that the file names.
        found: RootId,
    },
    /// Stored bytes do not have the hash that was stored beside them.
    #[error("{what} {number} is corrupt: wrong hash")]
    Damaged {
        /// What is damaged.
        what: &'static str,
        /// Which of them, from zero.
        number: u64,
    },
    /// The data key is not the one that the manifest was sealed with.
    #[error("wrong data key for manifest {manifest}")]
    WrongDataKey {
        /// The manifest.
        manifest: ManifestId,
    },
    /// The bytes were not sealed with this key, or were changed afterwards.
    #[error("{what} is not authentic: wrong key, or changed bytes")]
    NotAuthentic {
        /// What does not open.
        what: &'static str,
    },
    /// The first byte of a payload names no codec.
    #[error("unknown codec {codec}")]
    UnknownCodec {
        /// The byte.
        codec: u8,
    },
    /// Compressed bytes that do not decompress.
    #[error("{what} does not decompress")]
    NotDecompressible {
        /// What does not decompress.
        what: &'static str,
    },
    /// Compressed bytes that decompress, but to another length than they must have.
    #[error("{what} decompresses to {found} bytes, not {expected}")]
    WrongPlainLength {
        /// What has the wrong length.
        what: &'static str,
        /// The length that was promised, in bytes.
        expected: u64,
        /// The length that it has, in bytes.
        found: u64,
    },
    /// The fields of a geometry contradict each other.
    #[error("geometry: {problem}")]
    BadGeometry {
        /// What is wrong.
        problem: &'static str,
    },
    /// A layer of a geometry does not fit.
    #[error("layer {number}: {problem}")]
    BadLayer {
        /// Which layer, from zero.
        number: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// A record of a chunk table does not fit.
    #[error("chunk {number} at offset {offset}: {problem}")]
    BadChunk {
        /// Which chunk, from zero.
        number: u64,
        /// The offset that the record gives, in bytes.
        offset: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// There is not one key for each chunk.
    #[error("{keys} keys for {chunks} chunks")]
    KeyCount {
        /// The number of keys.
        keys: u64,
        /// The number of chunks.
        chunks: u64,
    },
    /// An entry of a layer index does not fit.
    #[error("entry {number}: {problem}")]
    BadEntry {
        /// Which entry, from zero.
        number: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// A profile, or a chunk of one, does not fit.
    #[error("profile {number}: {problem}")]
    BadProfile {
        /// Which profile, from zero.
        number: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// A bundle is not what its profile says.
    #[error("bundle: {problem}")]
    BadBundle {
        /// What is wrong.
        problem: &'static str,
    },
    /// The entries of a layer index cannot be decoded.
    #[error("the entries of the layer index do not decode")]
    BadEntries,
    /// The cipher or the codec refused to work on values of our own.
    #[error("cannot seal {what}")]
    CannotSeal {
        /// What was to be sealed.
        what: &'static str,
    },
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system")]
    NoRandomness,
}
