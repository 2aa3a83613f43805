//! Profiles at work: what a start touches is recorded, and the next start has it ahead.
//!
//! ```text
//! first touches ─ recorder ─(ready)─ lesson ─ bundle ─ shelf       what the store keeps, sealed
//!                                                      │
//! image ─ prefetch, supply ── player ── bundle or chunks ┘
//!   └─ tier: handover ── what a bundle brings, or the tier below
//! ```
//!
//! The invariant: a profile decides what is fetched early and never what is read. One that is damaged, of another
//! manifest, out of date or slow costs bounded bandwidth, and no read an error. docs/FORMAT.md has the bytes, and
//! `learn` the rules.

mod build;
mod fetching;
mod files;
mod handover;
mod learn;
mod lesson;
mod player;
mod profiling;
mod recorder;
mod rhythm;
mod stage;

pub use fetching::Fetching;
pub use files::files_in;
pub use learn::is_worth_playing;
pub use profiling::{Profiling, ProfilingCounts, ProfilingOptions, Sharing};
