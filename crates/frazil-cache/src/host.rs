//! The host cache: one process for all agents of a host, behind a Unix socket.
//!
//! Its process owns the tiers and the store's credentials and never holds a key; an agent holds the keys of its
//! image and needs nothing but the socket. [`HostServer`] answers, [`HostCache`] asks: the latter is a [`Tier`] and
//! a [`Catalog`] like any other. [`protocol`] says what goes over the socket.
//!
//! [`Tier`]: crate::Tier

mod catalog;
mod client;
mod error;
mod guarded;
mod heads;
mod joint;
mod kept;
mod kept_bundles;
mod lazy;
mod local_profiles;
mod meter;
mod metered;
mod profile_shelf;
pub mod protocol;
mod server;
mod socket;
mod socket_buffers;
mod stats;

pub use catalog::{Catalog, Freshness, ManifestBytes, Named};
pub use client::{Dial, HostCache, HostCacheCounts, HostCacheOptions, is_served, is_served_within};
pub use error::HostError;
pub use guarded::{AdmissionSource, Guarded};
pub use heads::BundleHead;
pub use kept::{KeptCatalog, KeptOptions};
pub use kept_bundles::{BUNDLE_BLOCK_LEN, KeptBundles, KeptBundlesOptions, Near};
pub use lazy::{LazyStore, Opened};
pub use local_profiles::OrLocal;
pub use meter::{LATENCY_BOUNDS_US, Latency, Meter, MeterCounts};
pub use metered::Metered;
pub use profile_shelf::{BundleBytes, HeadStart, ProfileShelf, head_of_store};
pub use server::{
    AnyTenant, HostServer, Limits, OwnUser, Peer, Peers, ServerOptions, TenantPolicy, TenantsOf,
};
pub use socket::HostSocket;
pub use stats::{CatalogStats, Connections, Counter, CounterSource, Errors, HostStats, Requests};
