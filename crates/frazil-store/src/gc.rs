//! Garbage collection: the life of roots, driven by policy.
//!
//! [`collect`] names every step in order: a new root when the active one is old enough, the older ones retired, what
//! names refer to copied forward, what nothing refers to any more expired, and what has been expired for long enough
//! deleted. Nothing is counted and nothing is marked; chunks are deleted with their root or not at all.
//!
//! Invariants, which `simulation` checks after every request:
//! * the manifest that a name refers to, and all its chunks, are in the root that the reference says;
//! * a chunk is deleted only in a root that is *deleted*, which no name refers to and none ever will;
//! * a planned step is the step that is taken: both are the same code.
//!
//! Any number of collectors may run at once and be killed at any time: they do work twice at the worst.

mod carry;
pub(crate) mod census;
mod collect;
mod delete;
pub(crate) mod journal;
pub(crate) mod migrate;
mod policy;
mod report;
mod starters;

pub use collect::{Intent, collect, delete_root, expire_root};
pub use policy::Policy;
pub use report::{Deletion, ImageBytes, Migration, Report, Step};
