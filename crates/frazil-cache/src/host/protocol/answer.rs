//! What the host cache answers.

use bytes::{BufMut, Bytes, BytesMut};
use frazil_format::{ManifestId, RootId};
use frazil_store::{ErrorClass, Reference};

use super::frame::split;
use super::{HEADER_LEN, Header, MAX_ANSWER_BODY, MAX_ERROR_BODY, ProtocolError};
use crate::Level;
use crate::host::{Freshness, Named};

const CHUNK: u8 = 1;
const REFERENCE: u8 = 2;
const MANIFEST: u8 = 3;
const STATS: u8 = 4;
const PONG: u8 = 5;
const ERROR: u8 = 6;
const BUSY: u8 = 7;
const SHELVED: u8 = 8;
const DONE: u8 = 9;

const FRESH: u8 = 0;
const LAST_KNOWN: u8 = 1;

/// What the host cache answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Sealed bytes. Whoever gets them verifies them.
    Chunk {
        /// The level that had them.
        by: Level,
        /// The bytes.
        sealed: Bytes,
    },
    /// What the name stands for; none if it stands for nothing.
    Reference(Option<Named>),
    /// A piece of a manifest.
    Manifest {
        /// The length of the whole manifest, in bytes.
        len: u64,
        /// What is at the offset that was asked for.
        piece: Bytes,
    },
    /// What was counted, as JSON.
    Stats(Bytes),
    /// Somebody is there.
    Pong,
    /// It cannot be had.
    Error {
        /// What can be done about it.
        class: ErrorClass,
        /// Why, in words.
        message: String,
    },
    /// There is too much to do.
    Busy {
        /// When to ask again, in milliseconds.
        retry_after_ms: u32,
    },
    /// Profiles, or a part of a bundle; none if they are not there.
    Shelved(Option<Bytes>),
    /// It is done.
    Done,
}

impl Answer {
    /// As it goes over the socket: what is made here, then the bytes that are passed on as they are.
    pub fn encode(self, id: u64) -> (Bytes, Bytes) {
        let mut head = BytesMut::zeroed(HEADER_LEN);
        let (kind, detail, body) = match self {
            Self::Chunk { by, sealed } => (CHUNK, number_of_level(by), sealed),
            Self::Reference(named) => {
                let detail = match named {
                    Some(Named { freshness: Freshness::LastKnown, .. }) => LAST_KNOWN,
                    _ => FRESH,
                };
                if let Some(Named { reference, .. }) = named {
                    head.put_u32_le(reference.root.number());
                    head.put_slice(reference.manifest.as_bytes());
                }
                (REFERENCE, detail, Bytes::new())
            }
            Self::Manifest { len, piece } => {
                head.put_u64_le(len);
                (MANIFEST, 0, piece)
            }
            Self::Stats(json) => (STATS, 0, json),
            Self::Pong => (PONG, 0, Bytes::new()),
            Self::Error { class, message } => {
                let message = message.as_bytes();
                let shown = message.get(..MAX_ERROR_BODY as usize).unwrap_or(message);
                (ERROR, number_of(class), Bytes::copy_from_slice(shown))
            }
            Self::Busy { retry_after_ms } => {
                head.put_u32_le(retry_after_ms);
                (BUSY, 0, Bytes::new())
            }
            Self::Shelved(bytes) => (SHELVED, u8::from(bytes.is_some()), bytes.unwrap_or_default()),
            Self::Done => (DONE, 0, Bytes::new()),
        };
        let body_len = u32::try_from(head.len() - HEADER_LEN + body.len()).unwrap_or(u32::MAX);
        head[..HEADER_LEN].copy_from_slice(&Header { body_len, kind, detail, id }.encode());
        (head.freeze(), body)
    }

    /// What came over the socket under this header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(header: &Header, body: Bytes) -> Result<Self, ProtocolError> {
        header.within(MAX_ANSWER_BODY)?;
        match header.kind {
            CHUNK => {
                let by = level_of(header.detail).ok_or(ProtocolError::BadBody("an answer with a chunk"))?;
                Ok(Self::Chunk { by, sealed: body })
            }
            REFERENCE => {
                reference(header.detail, &body).ok_or(ProtocolError::BadBody("an answer with a reference"))
            }
            MANIFEST => manifest(body).ok_or(ProtocolError::BadBody("an answer with a manifest")),
            STATS => Ok(Self::Stats(body)),
            PONG if body.is_empty() => Ok(Self::Pong),
            PONG => Err(ProtocolError::BadBody("a pong")),
            ERROR => Ok(Self::Error {
                class: class_of(header.detail).ok_or(ProtocolError::BadBody("an error"))?,
                message: String::from_utf8_lossy(&body).into_owned(),
            }),
            BUSY => match <[u8; 4]>::try_from(&*body) {
                Ok(ms) => Ok(Self::Busy { retry_after_ms: u32::from_le_bytes(ms) }),
                Err(_) => Err(ProtocolError::BadBody("a busy answer")),
            },
            SHELVED => match (header.detail, body.is_empty()) {
                (0, true) => Ok(Self::Shelved(None)),
                (1, _) => Ok(Self::Shelved(Some(body))),
                _ => Err(ProtocolError::BadBody("an answer with profiles")),
            },
            DONE if body.is_empty() => Ok(Self::Done),
            DONE => Err(ProtocolError::BadBody("an answer that has none")),
            other => Err(ProtocolError::UnknownKind(other)),
        }
    }
}

fn reference(detail: u8, body: &[u8]) -> Option<Answer> {
    let freshness = match detail {
        FRESH => Freshness::Fresh,
        LAST_KNOWN => Freshness::LastKnown,
        _ => return None,
    };
    if body.is_empty() {
        return Some(Answer::Reference(None));
    }
    let (root, manifest) = split(body)?;
    let manifest = ManifestId::from_bytes(manifest.try_into().ok()?);
    let reference = Reference { root: RootId::from_number(u32::from_le_bytes(root)), manifest };
    Some(Answer::Reference(Some(Named { reference, freshness })))
}

fn manifest(body: Bytes) -> Option<Answer> {
    let (len, _) = split(&body)?;
    let len = u64::from_le_bytes(len);
    Some(Answer::Manifest { len, piece: body.slice(8..) })
}

fn number_of_level(level: Level) -> u8 {
    match level {
        Level::Memory => 1,
        Level::Disk => 2,
        Level::Remote => 3,
        Level::Origin => 4,
    }
}

fn level_of(number: u8) -> Option<Level> {
    Level::ALL.into_iter().find(|level| number_of_level(*level) == number)
}

fn number_of(class: ErrorClass) -> u8 {
    match class {
        ErrorClass::NotFound => 1,
        ErrorClass::Corrupt => 2,
        ErrorClass::Transient => 3,
        ErrorClass::Denied => 4,
        ErrorClass::Full => 5,
    }
}

fn class_of(number: u8) -> Option<ErrorClass> {
    match number {
        1 => Some(ErrorClass::NotFound),
        2 => Some(ErrorClass::Corrupt),
        3 => Some(ErrorClass::Transient),
        4 => Some(ErrorClass::Denied),
        5 => Some(ErrorClass::Full),
        _ => None,
    }
}
