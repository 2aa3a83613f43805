//! What the tests of the binary stand on: real images, real registries, and judges that are not ours.
//!
//! Everything here is made by the field's own tools (mmdebstrap, apt, umoci, skopeo, docker-registry); nothing
//! may use the crates under test: `home` and `mount` run the binary. What is started or mounted here ends with the
//! value that owns it.

pub(crate) mod access_log;
pub(crate) mod busybox;
pub(crate) mod cache;
pub(crate) mod cached;
pub(crate) mod debian;
pub(crate) mod difference;
pub(crate) mod forged;
pub(crate) mod held;
pub(crate) mod home;
pub(crate) mod image;
pub(crate) mod images;
pub(crate) mod layer;
pub(crate) mod layout;
pub(crate) mod mount;
pub(crate) mod namespace;
pub(crate) mod objects;
pub(crate) mod opened;
pub(crate) mod peer;
pub(crate) mod refusal;
pub(crate) mod registry;
pub(crate) mod server;
pub(crate) mod sources;
pub(crate) mod tenants;
pub(crate) mod terminal;
pub(crate) mod tool;
pub(crate) mod tree;
pub(crate) mod umoci;
pub(crate) mod upper;
pub(crate) mod web;
