//! Images through the reader and through both faces of a real kernel.
//!
//! `support` builds small images in memory and a tier that counts and misbehaves on request. The tests mount for
//! real: they need root, `/dev/fuse`, and a kernel with EROFS.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agent;
mod arrival;
mod damage;
mod everything;
mod export;
mod laziness;
mod lifecycle;
mod neighbours;
mod places;
mod prefetch;
mod reading;
mod semantics;
mod stuck;
mod support;
