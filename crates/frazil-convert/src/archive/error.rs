//! What can be wrong with a layer's tar archive.

use std::io;

/// Why an archive cannot be read. Offsets are bytes from the start of the uncompressed archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The bytes could not be read.
    #[error("cannot read the archive at offset {offset}")]
    Read {
        /// Where reading stopped.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The archive ends inside of a member.
    #[error("the archive ends at offset {offset}, inside of a member")]
    Truncated {
        /// Where it ends.
        offset: u64,
    },
    /// A header that is not one.
    #[error("the header at offset {offset} is invalid: {reason}")]
    Header {
        /// Where the header starts.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// A PAX extended header that does not say what it claims to say.
    #[error("the extended header at offset {offset} is invalid: {reason}")]
    Extension {
        /// Where the extended header's data starts.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// An extended header or a long name over its bound.
    #[error("the extended header at offset {offset} has {len} bytes, over the limit of {limit}")]
    ExtensionTooLarge {
        /// Where its header starts.
        offset: u64,
        /// Its size in bytes.
        len: u64,
        /// The bound in bytes.
        limit: u64,
    },
    /// A sparse file whose map and data disagree.
    #[error("the sparse file '{}' at offset {offset} is invalid: {reason}", path.escape_ascii())]
    Sparse {
        /// Where its header starts.
        offset: u64,
        /// The file.
        path: Vec<u8>,
        /// What is wrong.
        reason: &'static str,
    },
    /// Something about a member that no file system could hold.
    #[error("the member '{}' at offset {offset} is invalid: {reason}", path.escape_ascii())]
    Member {
        /// Where its header starts.
        offset: u64,
        /// The member, cut to what fits into a message.
        path: Vec<u8>,
        /// What is wrong.
        reason: &'static str,
    },
    /// A type of member that no container image holds.
    #[error("the member '{}' at offset {offset} has the unknown type {flag:#04x}", path.escape_ascii())]
    UnknownType {
        /// Where its header starts.
        offset: u64,
        /// The member.
        path: Vec<u8>,
        /// The header's type flag.
        flag: u8,
    },
}
