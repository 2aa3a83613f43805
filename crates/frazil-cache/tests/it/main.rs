//! Every tier against the conformance suite, on real directories.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod origin;
mod proxy;
