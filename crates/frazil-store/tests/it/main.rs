//! A directory store and a keyring on real file systems: full, read-only, damaged, and raced for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access_log;
#[cfg(feature = "cloud")]
mod buckets;
mod chunks;
mod collection;
mod full_disk;
mod images;
mod keyring;
mod namespace;
mod open_with;
mod opening;
mod order_of_writes;
mod profiles;
#[cfg(feature = "cloud")]
mod published;
mod read_only;
mod rewrapping;
mod scene;
mod starters;
