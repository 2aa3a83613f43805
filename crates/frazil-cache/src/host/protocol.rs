//! What goes over the socket between an agent and the host cache. All numbers are little-endian.
//!
//! The host cache speaks first, so that whoever is refused is told without having said anything:
//!
//! ```text
//! hello     magic "FRAZILHC" 8 | newest u8 | oldest u8 | verdict u16 | value u32    16 bytes, both ways
//!           the versions that a side speaks, from the oldest to the newest
//!           verdict of the host cache: 0 welcome, value: requests at once on this connection;
//!                                      1 this user is refused; 2 busy, value: in how many ms to come back
//!           an agent says verdict 0, value 0
//!
//! frame     body length u32 | kind u8 | detail u8 | 0 u16 | request id u64      16 bytes, then the body
//!
//! request   1 chunk      root u32 | sealed length u32 | chunk id 32 | trace id 16 | span id 8, or neither of the two;
//!                        detail: 0 a reader waits, 1 nobody waits yet
//!           2 reference  tenant length u8 | tenant | name
//!           3 manifest   root u32 | 0 u32 | offset u64 | manifest id 32;
//!                        detail: 0 as much as goes into an answer, 1 what has come of it will do. An earlier host
//!                        cache takes the one for the other
//!           4 stats      -
//!           5 ping       -
//!           6 forget     -           nobody waits for the request of this id any more; has no answer
//!           7 hurry      -           somebody waits for the request of this id by now; has no answer
//!           8 shelved    root u32 | length u32 | offset u64 | manifest id 32 | bundle id 32, or without the last for
//!                        the profiles, which are asked for as a whole (length and offset 0)
//!           9 shelve     root u32 | 0 u32 | offset u64 | manifest id 32 | bundle id 32, or zeros for the profiles |
//!                        up to 1 MiB;   detail: 1 if it is the last. In order, the next when one is answered
//!           10 clear     root u32 | manifest id 32 | bundle id 32
//!           11 near      root u32 | sealed length u32 | chunk id 32
//!           12 in use    root u32 | manifest id 32
//!
//! answer    1 chunk      the sealed bytes;           detail: who had them, 1 memory, 2 disk, 3 remote, 4 origin
//!           2 reference  root u32 | manifest id 32, or nothing;   detail: 1 if it is the last known
//!           3 manifest   length of the whole u64 | up to 8 MiB of it, from the offset
//!           4 stats      JSON
//!           5 pong       -
//!           6 error      why, in words;                           detail: the class
//!           7 busy       in how many ms to ask again u32
//!           8 shelved    the bytes;                               detail: 0 if there is no such thing
//!                        (a chunk that is near has no bytes)
//!           9 done       -
//! ```
//!
//! Both sides speak the newest version that both know, and each ends a connection on which there is none: an agent and
//! a host cache of different ages understand each other, or say at once why not. So far there is version 2 alone
//! (version 1 never left its cradle: it did not say who had a chunk).
//!
//! Request ids are the agent's, none is used twice on a connection, and answers come in any order. An unknown
//! kind of request is answered by an error, so that a later agent can ask an earlier host cache; anything
//! else that is not as above ends the connection. Nothing is allocated for a body before its length was
//! checked against the limit of its kind.

mod answer;
mod frame;
mod hello;
mod request;
mod shelving;

pub use answer::Answer;
pub use frame::{HEADER_LEN, Header};
pub use hello::{HELLO_LEN, Hello, Verdict};
pub use request::{Extent, Purpose, Question, Request};
pub use shelving::Shelved;

/// The newest version of the protocol that is spoken here.
pub const VERSION: u8 = 2;

/// The oldest one.
pub const OLDEST_VERSION: u8 = 2;

/// The longest body of a request, in bytes: a tenant of 64 and a name of 255 bytes are below it.
pub const MAX_REQUEST_BODY: u32 = 512;

/// The most of a profile or bundle in one request, in bytes.
pub const SHELVE_PIECE_LEN: u32 = 1 << 20;

/// The longest body of a request that has such a piece, in bytes.
pub const MAX_SHELVE_BODY: u32 = SHELVE_PIECE_LEN + 80;

/// What an agent asks for of a bundle at once, in bytes: two segments, which take four milliseconds at 1 Gbit/s.
pub const SHELVED_PIECE_LEN: u32 = 512 << 10;

/// The most of a bundle in one answer, in bytes.
pub const MAX_SHELVED_LEN: u32 = MANIFEST_PIECE_LEN;

/// The most of a manifest in one answer, in bytes.
pub const MANIFEST_PIECE_LEN: u32 = 8 << 20;

/// The longest body of an answer, in bytes.
pub const MAX_ANSWER_BODY: u32 = MANIFEST_PIECE_LEN + 8;

/// The longest body of the statistics, in bytes.
pub const MAX_STATS_BODY: u32 = 1 << 20;

/// The longest explanation of an error, in bytes.
pub const MAX_ERROR_BODY: u32 = 4096;

/// What the other side said that is not in the protocol.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProtocolError {
    /// It is not a host cache, or not an agent.
    #[error("it does not start as the protocol does")]
    BadMagic,
    /// It speaks no version that is spoken here.
    #[error(
        "it speaks versions {oldest} to {newest} of the protocol, this program speaks {OLDEST_VERSION} to {VERSION}"
    )]
    BadVersion {
        /// The oldest version that it speaks.
        oldest: u8,
        /// The newest version that it speaks.
        newest: u8,
    },
    /// The hello says something that is not known.
    #[error("verdict {0} is unknown")]
    BadVerdict(u16),
    /// A field that must be zero is not.
    #[error("a reserved field of a frame is not zero")]
    Reserved,
    /// The body is longer than anything of its kind.
    #[error("a body of {len} bytes is longer than the {limit} that are possible")]
    TooLong {
        /// Its length in bytes.
        len: u32,
        /// The limit in bytes.
        limit: u32,
    },
    /// The body is not what its kind says.
    #[error("the body of {0} makes no sense")]
    BadBody(&'static str),
    /// No such kind.
    #[error("kind {0} is unknown")]
    UnknownKind(u8),
    /// An id was used twice.
    #[error("request {0} is under way already")]
    RepeatedId(u64),
    /// The answer belongs to another question.
    #[error("an answer is not of the kind that was asked for")]
    WrongAnswer,
}
