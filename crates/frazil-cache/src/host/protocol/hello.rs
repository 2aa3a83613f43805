//! The first words of both sides.

use super::{OLDEST_VERSION, ProtocolError, VERSION};

/// The length of a hello, in bytes.
pub const HELLO_LEN: usize = 16;

const MAGIC: [u8; 8] = *b"FRAZILHC";

/// Whether the connection is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is; `in_flight` requests may be under way on it at once.
    Welcome {
        /// How many.
        in_flight: u32,
    },
    /// The user of the process is not served.
    Refused,
    /// There are too many connections.
    Busy {
        /// When to come back, in milliseconds.
        retry_after_ms: u32,
    },
}

/// A side's first words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hello(pub Verdict);

impl Hello {
    /// What an agent says.
    pub const AGENT: Self = Self(Verdict::Welcome { in_flight: 0 });

    /// As it goes over the socket.
    pub fn encode(self) -> [u8; HELLO_LEN] {
        let (verdict, value) = match self.0 {
            Verdict::Welcome { in_flight } => (0_u16, in_flight),
            Verdict::Refused => (1, 0),
            Verdict::Busy { retry_after_ms } => (2, retry_after_ms),
        };
        let mut bytes = [0; HELLO_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&[VERSION, OLDEST_VERSION]);
        bytes[10..12].copy_from_slice(&verdict.to_le_bytes());
        bytes[12..].copy_from_slice(&value.to_le_bytes());
        bytes
    }

    /// What came over the socket, from a side that speaks a version which is spoken here.
    ///
    /// # Errors
    /// [`ProtocolError::BadMagic`], [`ProtocolError::BadVersion`] or [`ProtocolError::BadVerdict`].
    pub fn decode(bytes: &[u8; HELLO_LEN]) -> Result<Self, ProtocolError> {
        let [magic @ .., newest, oldest, d0, d1, n0, n1, n2, n3] = *bytes;
        if magic != MAGIC {
            return Err(ProtocolError::BadMagic);
        }
        if newest.min(VERSION) < oldest.max(OLDEST_VERSION) {
            return Err(ProtocolError::BadVersion { oldest, newest });
        }
        let value = u32::from_le_bytes([n0, n1, n2, n3]);
        match u16::from_le_bytes([d0, d1]) {
            0 => Ok(Self(Verdict::Welcome { in_flight: value })),
            1 => Ok(Self(Verdict::Refused)),
            2 => Ok(Self(Verdict::Busy { retry_after_ms: value })),
            other => Err(ProtocolError::BadVerdict(other)),
        }
    }
}
