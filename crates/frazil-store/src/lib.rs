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
mod bases;
#[cfg(feature = "cloud")]
mod bucket;
mod chunks;
mod coming;
mod error;
mod exclusion;
pub mod gc;
mod head_start;
mod images;
mod key_file;
mod key_provider;
mod key_rotation;
mod keyring;
#[cfg(feature = "cloud")]
mod kms;
#[cfg(feature = "cloud")]
mod kms_client;
mod layout;
mod leftovers;
mod location;
mod long_upload;
mod mutation;
mod name;
mod objects;
mod observed;
#[cfg(feature = "cloud")]
mod patience;
mod percent;
mod pieces;
mod presence;
mod profiles;
mod publication;
#[cfg(feature = "cloud")]
mod published;
mod random;
mod record;
mod requests;
mod rewrapping;
mod room;
mod roots;
mod scopes;
pub mod scrub;
#[cfg(test)]
mod simulation;
mod starter;
mod store;
#[cfg(feature = "cloud")]
mod throttled;
mod unchecked;

pub use bases::Base;
#[cfg(feature = "cloud")]
pub use bucket::{BucketUrl, Provider};
pub use coming::{Coming, MANIFEST_FRONT_LEN};
pub use error::{ErrorClass, StoreError, causes};
pub use head_start::{BUNDLE_HEAD_LEN, BundleHead, HeadStart};
pub use images::{Beside, MAX_LAYER_INDEX_BYTES, MAX_MANIFEST_BYTES, Published};
pub use key_provider::KeyProvider;
pub use keyring::Keyring;
#[cfg(feature = "cloud")]
pub use kms::Kms;
pub use location::StoreLocation;
pub use name::{ImageName, tenant_name};
pub use objects::Put;
pub use pieces::{Piece, Pieces};
pub use profiles::BundleWriter;
#[cfg(feature = "cloud")]
pub use published::PublishedUrl;
pub use record::{Alarm, AlarmState, Reference, RootState, StoreId};
pub use requests::RequestCounts;
pub use rewrapping::{KeyRotation, Rewrapping};
pub use roots::watch::WINDOW as ROOT_WATCH_WINDOW;
pub use roots::{Clock, RootStatus, StoreTime};
pub use scopes::{SHARED_SCOPE, Scope, ScopeRecord};
pub use store::{PlainHttp, Store, StoreOptions};
