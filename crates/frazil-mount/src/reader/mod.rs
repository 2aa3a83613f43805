//! The reader: an image's address space, readable at any offset.
//!
//! [`read`] is the read path, top to bottom; the other files are its nouns. Whatever is served was verified by
//! its chunk id and opened with its own key; what cannot be had is an error of that read alone.

mod address_space;
mod at_hand;
mod chunk_table;
mod complaints;
mod counters;
mod decoded;
mod error;
mod flights;
mod image;
mod read;
mod touches;

pub use address_space::AddressSpace;
pub use counters::Counters;
pub use error::{ImageError, ReadError};
pub use image::{Image, ImageOptions};
pub use touches::{ChunkIndex, TouchListener};

pub(crate) use address_space::READ_LEN_MAX;
pub(crate) use at_hand::{AtHand, Missing};
