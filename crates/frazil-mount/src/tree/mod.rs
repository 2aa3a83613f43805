//! The tree face: a path-level file system over an image's EROFS metadata.
//!
//! [`files`] answers without a kernel and without waiting; [`fuse`] turns its answers into FUSE's. For ordinary
//! users, and for kernels without EROFS.

mod attributes;
mod files;
mod fuse;
#[cfg(test)]
mod tests;

pub(crate) use files::{Files, fetch};
pub(crate) use fuse::TreeFs;
