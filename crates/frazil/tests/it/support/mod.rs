//! What the tests of the binary stand on: real images, real registries, and judges that are not ours.
//!
//! Everything here is made by the field's own tools (mmdebstrap, apt, umoci, skopeo, docker-registry); nothing
//! may use the code under test. What is started or mounted here ends with the value that owns it.

pub(crate) mod cache;
pub(crate) mod debian;
pub(crate) mod difference;
pub(crate) mod image;
pub(crate) mod images;
pub(crate) mod layer;
pub(crate) mod registry;
pub(crate) mod tool;
pub(crate) mod tree;
pub(crate) mod umoci;
pub(crate) mod upper;
