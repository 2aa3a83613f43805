//! The payload: a chunk after compression, exactly the bytes that are encrypted. One codec byte, then the bytes.

use std::fmt;
use std::str::FromStr;

use crate::{FormatError, zstd_frame};

const STORED: u8 = 0;
const ZSTD: u8 = 1;

/// How chunks are compressed. Compressed sizes leak something about the content, so a scope may do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// Chunks are stored as they are.
    None,
    /// zstd, where it makes a chunk smaller.
    Zstd {
        /// zstd's own scale: 1 to 22, or negative for speed.
        level: i32,
    },
}

impl Default for Compression {
    fn default() -> Self {
        Self::Zstd { level: 3 }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Zstd { level } => write!(f, "zstd:{level}"),
        }
    }
}

impl FromStr for Compression {
    type Err = FormatError;

    /// `none`, `zstd`, or `zstd:LEVEL` with a level from -7 to 22.
    fn from_str(text: &str) -> Result<Self, FormatError> {
        let level = match text.split_once(':') {
            None if text == "none" => return Ok(Self::None),
            None if text == "zstd" => return Ok(Self::default()),
            Some(("zstd", level)) => level.parse().ok().filter(|level| (-7..=22).contains(level)),
            _ => None,
        };
        let level = level.ok_or_else(|| FormatError::BadCompression { text: text.to_owned() })?;
        Ok(Self::Zstd { level })
    }
}

/// A compressed chunk.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Vec<u8>);

impl Payload {
    /// Compresses a chunk; it is stored as it is where compression would not make it smaller.
    ///
    /// The same chunk, compression and zstd version give the same bytes on any machine.
    pub fn compress(chunk: &[u8], compression: Compression) -> Self {
        if let Compression::Zstd { level } = compression {
            // A frame that does not fit into the chunk's own length is no gain: zstd may stop there.
            let mut bytes = Vec::with_capacity(chunk.len());
            bytes.push(ZSTD);
            if zstd_frame::append(&mut bytes, chunk, level).is_ok() && bytes.len() <= chunk.len() {
                return Self(bytes);
            }
        }
        let mut bytes = Vec::with_capacity(1 + chunk.len());
        bytes.push(STORED);
        bytes.extend_from_slice(chunk);
        Self(bytes)
    }

    /// Codec byte and bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

/// The chunk in a payload, which has to be `len` bytes long.
pub(crate) fn decompress(payload: &[u8], len: usize) -> Result<Vec<u8>, FormatError> {
    match payload.split_first() {
        Some((&STORED, chunk)) if chunk.len() == len => Ok(chunk.to_vec()),
        Some((&STORED, chunk)) => {
            let found = chunk.len() as u64;
            Err(FormatError::WrongPlainLength { what: "chunk", expected: len as u64, found })
        }
        Some((&ZSTD, frame)) => zstd_frame::decode(frame, len, "chunk"),
        Some((&codec, _)) => Err(FormatError::UnknownCodec { codec }),
        None => Err(FormatError::WrongLength { what: "payload", expected: 1, present: 0 }),
    }
}

#[cfg(test)]
impl Payload {
    /// A payload as it was once made, by whatever codec.
    pub(crate) fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}
