//! The metadata reader's source: what is decoded, and nothing else.
//!
//! `frazil-erofs` reads through this without ever waiting. What is not decoded is an error that says which bytes
//! to fetch before asking again.

use std::sync::Arc;

use frazil_erofs::ReadAt;

use super::Image;

/// An image as far as it is decoded.
#[derive(Clone, Debug)]
pub(crate) struct AtHand(pub(crate) Arc<Image>);

/// Bytes that have to be fetched first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Missing {
    /// Where they are in the image.
    pub(crate) offset: u64,
    /// How many they are.
    pub(crate) len: usize,
}

impl ReadAt for AtHand {
    type Error = Missing;

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Missing> {
        let missing = Missing { offset, len: buf.len() };
        match self.0.try_read(offset, buf) {
            Some(len) if len == buf.len() => Ok(()),
            // The end of the image: frazil-erofs has checked the range against the superblock, so the
            // superblock promises more than the manifest has. Fetching what is missing will say so.
            Some(_) | None => Err(missing),
        }
    }
}
