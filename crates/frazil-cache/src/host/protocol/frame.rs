//! The header of every frame.

use super::ProtocolError;

/// The length of a frame's header, in bytes.
pub const HEADER_LEN: usize = 16;

/// What stands before a body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The body's length in bytes.
    pub body_len: u32,
    /// What the body is.
    pub kind: u8,
    /// More about it; what, depends on the kind.
    pub detail: u8,
    /// The request that this is, or that it answers.
    pub id: u64,
}

impl Header {
    /// As it goes over the socket.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[4] = self.kind;
        bytes[5] = self.detail;
        bytes[8..].copy_from_slice(&self.id.to_le_bytes());
        bytes
    }

    /// What came over the socket, if its body is not longer than `limit` bytes.
    ///
    /// # Errors
    /// [`ProtocolError::Reserved`] or [`ProtocolError::TooLong`].
    pub fn decode(bytes: &[u8; HEADER_LEN], limit: u32) -> Result<Self, ProtocolError> {
        let [l0, l1, l2, l3, kind, detail, r0, r1, id @ ..] = *bytes;
        if [r0, r1] != [0, 0] {
            return Err(ProtocolError::Reserved);
        }
        let header =
            Self { body_len: u32::from_le_bytes([l0, l1, l2, l3]), kind, detail, id: u64::from_le_bytes(id) };
        header.within(limit)?;
        Ok(header)
    }

    /// What an agent sends, if its body is not longer than those of its kind.
    ///
    /// # Errors
    /// As [`Header::decode`].
    pub fn decode_request(bytes: &[u8; HEADER_LEN]) -> Result<Self, ProtocolError> {
        let header = Self::decode(bytes, super::MAX_SHELVE_BODY)?;
        header.within(super::request::limit_of(header.kind))?;
        Ok(header)
    }

    /// Refuses a body that is too long for what it is.
    ///
    /// # Errors
    /// [`ProtocolError::TooLong`].
    pub fn within(&self, limit: u32) -> Result<(), ProtocolError> {
        if self.body_len <= limit {
            Ok(())
        } else {
            Err(ProtocolError::TooLong { len: self.body_len, limit })
        }
    }
}

/// The first `N` bytes, and the rest.
pub(super) fn split<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    let (first, rest) = bytes.split_first_chunk()?;
    Some((*first, rest))
}
