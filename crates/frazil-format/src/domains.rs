//! Every use of a secret, by name: the contexts of BLAKE3's key derivation.
//!
//! Invariant: no two purposes share a context, and within one context the key material is injective (every
//! part but the last has a fixed length), so that no key ever serves two purposes. docs/FORMAT.md repeats the
//! list.

use zeroize::{Zeroize, Zeroizing};

/// One purpose of a derived key.
#[derive(Debug)]
pub(crate) struct Domain(&'static str);

/// The key of one chunk. Material: scope secret, root id, BLAKE3 of the payload.
pub(crate) const CHUNK_KEY: Domain = Domain("frazil chunk key v1");

/// The public id of a scope (the first 16 bytes). Material: scope secret.
pub(crate) const SCOPE_ID: Domain = Domain("frazil scope id v1");

/// The name of a layer index. Material: scope secret, root id, diff id, parameters.
pub(crate) const LAYER_INDEX_ID: Domain = Domain("frazil layer index id v1");

/// The key of a layer index's body. Material: scope secret, root id, layer index id, salt.
pub(crate) const LAYER_INDEX_BODY: Domain = Domain("frazil layer index body v1");

/// The key of a layer index's authentication tag. Material: scope secret, root id, layer index id, salt.
pub(crate) const LAYER_INDEX_TAG: Domain = Domain("frazil layer index tag v1");

/// The public commitment to a manifest's data key. Material: data key, salt.
pub(crate) const MANIFEST_COMMITMENT: Domain = Domain("frazil manifest commitment v1");

/// The key of a manifest header's authentication tag. Material: data key, salt.
pub(crate) const MANIFEST_HEADER: Domain = Domain("frazil manifest header v1");

/// The key of one sealed section of a manifest. Material: data key, salt, kind, index.
pub(crate) const MANIFEST_SECTION: Domain = Domain("frazil manifest section v1");

/// The key that wraps one data key. Material: wrapping key, salt, context.
pub(crate) const KEY_WRAPPING: Domain = Domain("frazil key wrapping v1");

/// The key of all profiles and bundles of one manifest. Material: data key.
pub(crate) const PROFILE_KEY: Domain = Domain("frazil profile key v1");

/// The key of one version of a manifest's profiles. Material: profile key, salt.
pub(crate) const PROFILES: Domain = Domain("frazil profiles v1");

/// The key of one segment of a bundle. Material: profile key, bundle id, index.
pub(crate) const BUNDLE_SEGMENT: Domain = Domain("frazil bundle segment v1");

/// The tag of a record that a scope vouches for. Material: scope secret, what the record says.
pub(crate) const SCOPE_RECORD: Domain = Domain("frazil scope record v1");

impl Domain {
    /// The 32 bytes for this purpose and material.
    pub(crate) fn derive(&self, material: &[&[u8]]) -> Zeroizing<[u8; 32]> {
        let mut hasher = blake3::Hasher::new_derive_key(self.0);
        for part in material {
            hasher.update(part);
        }
        let mut hash = hasher.finalize();
        let key = Zeroizing::new(*hash.as_bytes());
        hash.zeroize();
        hasher.zeroize();
        key
    }
}

/// A keyed BLAKE3 of these bytes: the authentication tag of what is stored in the clear.
pub(crate) fn tag(key: &[u8; 32], bytes: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(key, bytes).as_bytes()
}
