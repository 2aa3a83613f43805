//! An image's address space to the kernel: reader, tree, block.
//!
//! ```text
//!  mount ── tree ───┐                         docs/SEMANTICS.md says what each operation does
//!        └─ block ──┼── session (FUSE) ── reader ── decoded chunks ── a tier's sealed chunks
//!  export ──────────┘
//! ```
//!
//! The invariant: whatever a program reads through a mount is what the image's manifest vouches for, or an error.
//! A read that waits holds up no other, and can be killed.

mod block;
pub mod descriptors;
mod error;
mod explain;
mod export;
mod lent;
mod mount;
#[cfg(feature = "bench")]
pub mod null;
pub mod passing;
pub mod profile;
mod reader;
mod session;
mod tree;
mod visit;
mod whereabouts;

pub use error::MountError;
pub use explain::{Explanation, FileRead, PartRead};
pub use export::{Exported, export};
pub use mount::{
    Detached, Face, FaceChoice, HandedOn, MountOptions, Mounted, Shown, mount, mount_detached, unmount,
    unmount_or_detach,
};
pub use reader::{
    AddressSpace, Arrival, ArrivalError, ChunkIndex, ChunkTable, Counters, Image, ImageError, ImageOptions,
    Place, PrefetchCounts, PrefetchHandle, ReadError, RunCounts, SealedArrival, Source, Supplied,
    TouchListener, Wait,
};

/// What the integration tests build images with, for the tests of what is not public.
#[cfg(test)]
#[path = "../tests/it/support"]
#[allow(dead_code)]
mod support {
    pub(crate) mod sample;
    pub(crate) mod tier;
}
