//! Roots, manifests and chunks in an object store; key providers.
//!
//! The only crate of the house that sees `object_store`. It knows names and bytes: chunks come and go sealed, and
//! it has no way to open them. Two laws hold at any time, across crashes too: what has a name is whole, and what
//! is read is verified or refused. `layout.rs` says where everything lies.

mod access_log;
#[cfg(feature = "cloud")]
mod aws_profile;
mod backend;
mod barrier;
#[cfg(feature = "cloud")]
mod bucket;
mod chunks;
mod error;
mod images;
mod key_file;
mod key_provider;
mod keyring;
mod layout;
mod leftovers;
mod location;
mod name;
mod objects;
mod observed;
#[cfg(feature = "cloud")]
mod patience;
mod percent;
mod profiles;
#[cfg(feature = "cloud")]
mod published;
mod random;
mod record;
mod requests;
mod store;
#[cfg(feature = "cloud")]
mod throttled;

#[cfg(feature = "cloud")]
pub use bucket::{BucketUrl, Provider};
pub use error::{ErrorClass, StoreError};
pub use images::{MAX_LAYER_INDEX_BYTES, MAX_MANIFEST_BYTES};
pub use key_provider::KeyProvider;
pub use keyring::Keyring;
pub use location::StoreLocation;
pub use name::ImageName;
pub use objects::{Piece, Pieces, Put};
pub use profiles::BundleWriter;
#[cfg(feature = "cloud")]
pub use published::PublishedUrl;
pub use record::{Reference, RootState, StoreId};
pub use requests::RequestCounts;
pub use store::{PlainHttp, Store, StoreOptions};
