//! What an agent asks.

use bytes::{BufMut, Bytes, BytesMut};
use frazil_format::{ChunkId, ManifestId, RootId};
use frazil_store::ImageName;

use super::frame::split;
use super::{
    HEADER_LEN, Header, MANIFEST_PIECE_LEN, MAX_ERROR_BODY, MAX_REQUEST_BODY, MAX_SHELVE_BODY,
    MAX_SHELVED_LEN, MAX_STATS_BODY, ProtocolError, Shelved, shelving,
};
use crate::Wanted;
use crate::resilience::Priority;
use crate::trace::TraceContext;

const CHUNK: u8 = 1;
const REFERENCE: u8 = 2;
const MANIFEST: u8 = 3;
const STATS: u8 = 4;
const PING: u8 = 5;
const FORGET: u8 = 6;
const HURRY: u8 = 7;
const SHELVED: u8 = 8;
const SHELVE: u8 = 9;
const CLEAR: u8 = 10;
const NEAR: u8 = 11;
const IN_USE: u8 = 12;

/// Only what has a piece in it has a long body.
pub(super) fn limit_of(kind: u8) -> u32 {
    if kind == SHELVE { MAX_SHELVE_BODY } else { MAX_REQUEST_BODY }
}

const READING: u8 = 0;
const STARTING: u8 = 1;

const FULL: u8 = 0;
const COME: u8 = 1;

const DEMAND: u8 = 0;
const PREFETCH: u8 = 1;

/// How much of a manifest one answer is to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// As much as goes into it, of a manifest that has come as a whole.
    Full,
    /// What has come of it so far, if that is worth an answer.
    Come,
}

/// What profiles are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// To be read as they are now.
    Reading,
    /// To begin a start: the bundle that they name will be asked for next.
    Starting,
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// The sealed bytes of a chunk.
    Chunk {
        /// The chunk.
        wanted: Wanted,
        /// Whether a reader waits for it.
        priority: Priority,
        /// The trace that the request belongs to, if somebody traces.
        trace: Option<TraceContext>,
    },
    /// What a name stands for.
    Reference {
        /// Whose name.
        tenant: String,
        /// The name.
        name: ImageName,
    },
    /// A piece of a manifest.
    Manifest {
        /// The root that holds it.
        root: RootId,
        /// The manifest.
        id: ManifestId,
        /// Where the piece starts, in bytes.
        offset: u64,
        /// How much of it.
        extent: Extent,
    },
    /// What the host cache has counted.
    Stats,
    /// Whether anybody is there.
    Ping,
    /// The profiles of a manifest, or a part of a bundle.
    Shelved {
        /// Which.
        what: Shelved,
        /// Where the part of a bundle starts, in bytes.
        offset: u64,
        /// Its length in bytes, at most [`MAX_SHELVED_LEN`](super::MAX_SHELVED_LEN).
        len: u32,
        /// What profiles are asked for; nothing of a bundle depends on it.
        purpose: Purpose,
    },
    /// Keeps the next piece of profiles or of a bundle; the last one makes it visible.
    Shelve {
        /// Of which.
        what: Shelved,
        /// Where it starts, in bytes.
        offset: u64,
        /// Whether nothing follows.
        last: bool,
        /// The bytes.
        piece: Bytes,
    },
    /// Deletes a bundle.
    Clear(Shelved),
    /// Whether the host has this chunk.
    Near(Wanted),
    /// That an image is mounted, which is noted and asks for nothing.
    InUse {
        /// The root that holds its manifest.
        root: RootId,
        /// Its manifest.
        id: ManifestId,
    },
}

/// What an agent sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// A question, which is answered.
    Ask(Question),
    /// Nobody waits for this request's answer any more.
    Forget,
    /// Somebody waits for this request's answer by now.
    Hurry,
}

impl Question {
    /// The longest body that an answer to it can have, in bytes; an error's included.
    pub fn answer_limit(&self) -> u32 {
        let answer = match self {
            Self::Chunk { wanted, .. } => wanted.sealed_len,
            Self::Reference { .. } => 36,
            Self::Manifest { .. } => MANIFEST_PIECE_LEN + 8,
            Self::Stats => MAX_STATS_BODY,
            Self::Shelved { what: Shelved { bundle: Some(_), .. }, len, .. } => *len,
            Self::Shelved { .. } => MAX_SHELVED_LEN,
            Self::Ping | Self::Shelve { .. } | Self::Clear(_) | Self::Near(_) | Self::InUse { .. } => 0,
        };
        answer.max(MAX_ERROR_BODY)
    }
}

impl Request {
    /// As it goes over the socket, header and body.
    pub fn encode(&self, id: u64) -> Bytes {
        let mut body = BytesMut::zeroed(HEADER_LEN);
        let mut detail = 0;
        let kind = match self {
            Self::Ask(Question::Chunk { wanted, priority, trace }) => {
                put_wanted(&mut body, wanted);
                if let Some(TraceContext { trace, span }) = trace {
                    body.put_slice(trace);
                    body.put_slice(span);
                }
                detail = number_of(*priority);
                CHUNK
            }
            Self::Ask(Question::Reference { tenant, name }) => {
                body.put_u8(u8::try_from(tenant.len()).unwrap_or(u8::MAX));
                body.put_slice(tenant.as_bytes());
                body.put_slice(name.as_str().as_bytes());
                REFERENCE
            }
            Self::Ask(Question::Manifest { root, id, offset, extent }) => {
                detail = match extent {
                    Extent::Full => FULL,
                    Extent::Come => COME,
                };
                body.put_u32_le(root.number());
                body.put_u32_le(0);
                body.put_u64_le(*offset);
                body.put_slice(id.as_bytes());
                MANIFEST
            }
            Self::Ask(Question::Stats) => STATS,
            Self::Ask(Question::Ping) => PING,
            Self::Ask(Question::Shelved { what, offset, len, purpose }) => {
                what.put_shelved(&mut body, *offset, *len);
                detail = match purpose {
                    Purpose::Reading => READING,
                    Purpose::Starting => STARTING,
                };
                SHELVED
            }
            Self::Ask(Question::Shelve { what, offset, last, piece }) => {
                what.put_shelve(&mut body, *offset, piece);
                detail = u8::from(*last);
                SHELVE
            }
            Self::Ask(Question::Clear(what)) => {
                what.put_clear(&mut body);
                CLEAR
            }
            Self::Ask(Question::Near(wanted)) => {
                put_wanted(&mut body, wanted);
                NEAR
            }
            Self::Ask(Question::InUse { root, id }) => {
                body.put_u32_le(root.number());
                body.put_slice(id.as_bytes());
                IN_USE
            }
            Self::Forget => FORGET,
            Self::Hurry => HURRY,
        };
        // A tenant of 255 bytes and a name of 255 fit; no caller has a longer one.
        let body_len = u32::try_from(body.len() - HEADER_LEN).unwrap_or(u32::MAX);
        body[..HEADER_LEN].copy_from_slice(&Header { body_len, kind, detail, id }.encode());
        body.freeze()
    }

    /// What came over the socket under this header.
    ///
    /// # Errors
    /// What is wrong with it; [`ProtocolError::UnknownKind`] if it may be of a later agent.
    pub fn decode(header: &Header, body: &[u8]) -> Result<Self, ProtocolError> {
        header.within(limit_of(header.kind))?;
        match header.kind {
            CHUNK => chunk(header.detail, body).ok_or(ProtocolError::BadBody("a request for a chunk")),
            REFERENCE => reference(body).ok_or(ProtocolError::BadBody("a request for a reference")),
            MANIFEST => {
                manifest(header.detail, body).ok_or(ProtocolError::BadBody("a request for a manifest"))
            }
            STATS | PING | FORGET | HURRY if !body.is_empty() => {
                Err(ProtocolError::BadBody("a request that has none"))
            }
            STATS => Ok(Self::Ask(Question::Stats)),
            PING => Ok(Self::Ask(Question::Ping)),
            FORGET => Ok(Self::Forget),
            HURRY => Ok(Self::Hurry),
            SHELVED => shelving::shelved(purpose(header.detail), body)
                .ok_or(ProtocolError::BadBody("a request for profiles")),
            SHELVE => {
                shelving::shelve(header.detail, body).ok_or(ProtocolError::BadBody("a piece of profiles"))
            }
            CLEAR => shelving::clear(body).ok_or(ProtocolError::BadBody("a request to delete a bundle")),
            NEAR => near(body).ok_or(ProtocolError::BadBody("a question for what is near")),
            IN_USE => in_use(body).ok_or(ProtocolError::BadBody("the word that an image is mounted")),
            other => Err(ProtocolError::UnknownKind(other)),
        }
    }
}

fn put_wanted(body: &mut BytesMut, wanted: &Wanted) {
    body.put_u32_le(wanted.root.number());
    body.put_u32_le(wanted.sealed_len);
    body.put_slice(wanted.id.as_bytes());
}

/// A chunk, and what follows.
fn wanted(body: &[u8]) -> Option<(Wanted, &[u8])> {
    let (root, rest) = split(body)?;
    let (sealed_len, rest) = split(rest)?;
    let (id, rest) = split(rest)?;
    let (root, id) = (RootId::from_number(u32::from_le_bytes(root)), ChunkId::from_bytes(id));
    Some((Wanted { root, id, sealed_len: u32::from_le_bytes(sealed_len) }, rest))
}

fn near(body: &[u8]) -> Option<Request> {
    let (wanted, rest) = wanted(body)?;
    rest.is_empty().then_some(Request::Ask(Question::Near(wanted)))
}

fn chunk(detail: u8, body: &[u8]) -> Option<Request> {
    let priority = match detail {
        DEMAND => Priority::Demand,
        PREFETCH => Priority::Prefetch,
        _ => return None,
    };
    let (wanted, rest) = wanted(body)?;
    let trace = match rest {
        [] => None,
        _ => {
            let (trace, span) = split(rest)?;
            Some(TraceContext { trace, span: span.try_into().ok()? })
        }
    };
    Some(Request::Ask(Question::Chunk { wanted, priority, trace }))
}

fn number_of(priority: Priority) -> u8 {
    match priority {
        Priority::Demand => DEMAND,
        Priority::Prefetch => PREFETCH,
    }
}

fn reference(body: &[u8]) -> Option<Request> {
    let (len, rest) = body.split_first()?;
    let (tenant, name) = rest.split_at_checked(usize::from(*len))?;
    let tenant = std::str::from_utf8(tenant).ok()?.to_owned();
    let name = std::str::from_utf8(name).ok()?.parse().ok()?;
    Some(Request::Ask(Question::Reference { tenant, name }))
}

/// The purpose that this detail stands for. An earlier host cache answers both in the same way.
fn purpose(detail: u8) -> Purpose {
    match detail {
        STARTING => Purpose::Starting,
        _ => Purpose::Reading,
    }
}

fn manifest(detail: u8, body: &[u8]) -> Option<Request> {
    let extent = match detail {
        FULL => Extent::Full,
        COME => Extent::Come,
        _ => return None,
    };
    let (root, rest) = split(body)?;
    let (reserved, rest) = split::<4>(rest)?;
    let (offset, rest) = split(rest)?;
    let id = ManifestId::from_bytes(rest.try_into().ok()?);
    let root = RootId::from_number(u32::from_le_bytes(root));
    let question = Question::Manifest { root, id, offset: u64::from_le_bytes(offset), extent };
    (reserved == [0; 4]).then_some(Request::Ask(question))
}

fn in_use(body: &[u8]) -> Option<Request> {
    let (root, rest) = split(body)?;
    let root = RootId::from_number(u32::from_le_bytes(root));
    let id = ManifestId::from_bytes(rest.try_into().ok()?);
    Some(Request::Ask(Question::InUse { root, id }))
}
