//! What a tier keeps when it cannot keep everything.
//!
//! One policy, chosen by measurement (docs/decisions/0011), serves the memory and the disk tier.

pub(crate) mod residents;
mod s3fifo;

pub use s3fifo::{S3Fifo, Ticket};
