//! The reader: an image's address space, readable at any offset.
//!
//! [`read`] is the read path, top to bottom; the other files are its nouns. Whatever is served was verified by
//! its chunk id and opened with its own key; what cannot be had is an error of that read alone. [`arrival`] says how an
//! image is read before all of its manifest has come, [`prefetch`] how chunks come before they are read.

mod account;
mod address_space;
mod arrival;
mod at_hand;
mod blocks;
mod chunk_cache;
mod chunk_table;
mod complaints;
mod counters;
mod coverage;
mod decoded;
mod error;
mod flights;
mod image;
mod neighbours;
mod prefetch;
mod read;
mod rest;
mod sealed;
mod streams;
mod touches;

pub use account::Wait;
pub use address_space::AddressSpace;
pub use arrival::{Arrival, ArrivalError, SealedArrival};
pub use chunk_table::ChunkTable;
pub use counters::Counters;
pub use error::{ImageError, ReadError};
pub use image::{Image, ImageOptions, Place};
pub use prefetch::{PrefetchCounts, PrefetchHandle, RunCounts, Source, Supplied};
pub use touches::{ChunkIndex, TouchListener};

pub(crate) use account::Waits;
pub(crate) use address_space::READ_LEN_MAX;
pub(crate) use at_hand::{AtHand, Missing};
