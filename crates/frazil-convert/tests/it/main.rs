//! The crate's integration tests: one binary, a module per story.

// The helpers here are tests too: where they fail, the test has failed.
#![allow(clippy::unwrap_used)]

mod images;
mod registry;
mod scripted;
mod source_archive;
mod source_faults;
mod source_layout;
mod source_registry;
mod tools;
