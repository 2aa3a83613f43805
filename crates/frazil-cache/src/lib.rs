//! The tiers: one question, the sealed bytes of a chunk id.
//!
//! Every level of the cache, every decorator of one, and the socket between agent and host cache is a [`Tier`];
//! they stack, and the stack prints itself. No tier holds a key. What any of them answers is verified against
//! the chunk's id: wrong bytes never leave this crate.

#[cfg(feature = "conformance")]
pub mod conformance;

#[cfg(feature = "testing")]
pub mod testing;

mod disk;
#[cfg(test)]
mod ending;
mod error;
mod flights;
pub mod host;
mod jitter;
mod memory;
mod origin;
pub mod policy;
mod remote;
pub mod resilience;
mod size;
mod tier;
pub mod trace;

pub use disk::{Disk, DiskCounts, DiskOptions};
pub use error::{TierError, chain};
pub use frazil_store::{ErrorClass, ImageName, Reference};
pub use memory::{ENTRY_OVERHEAD_BYTES, Memory, MemoryCounts};
pub use origin::Origin;
pub use remote::{NodeAddress, NodeCounts, Nodes, NotAFleet, Remote, RemoteCounts, RemoteOptions, Resolver};
#[cfg(feature = "tls")]
pub use remote::{Tls, TlsIdentity};
pub use resilience::stack;
pub use tier::{Level, Served, Tier, Wanted};
