//! The crate's integration tests: one binary, a module per story.

// The helpers here are tests too: where they fail, the test has failed.
#![allow(clippy::unwrap_used)]

mod bad_layers;
mod bombs;
mod crashes;
mod fidelity;
mod images;
mod registry;
mod repair;
mod reuse;
mod scripted;
mod source_archive;
mod source_faults;
mod source_layout;
mod source_registry;
mod sources;
mod tars;
mod tools;
mod trees;
mod verification;
mod workbench;
