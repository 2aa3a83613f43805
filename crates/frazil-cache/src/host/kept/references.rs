//! A kept name: small enough for JSON, and named by a hash, since a name can be longer than a file's.

use bytes::Bytes;
use frazil_store::{ImageName, Reference};
use serde::{Deserialize, Serialize};

/// The longest such file, in bytes: two names of 255 bytes, escaped.
pub(super) const MAX_LEN: u64 = 8 << 10;

/// The most bytes of them that are kept: some ten thousand names.
pub(super) const MAX_BYTES: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
struct Kept {
    tenant: String,
    name: String,
    #[serde(flatten)]
    reference: Reference,
}

pub(super) fn file_name(tenant: &str, name: &ImageName) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(tenant.as_bytes()).update(&[0]).update(name.as_str().as_bytes());
    hasher.finalize().to_hex().to_string()
}

pub(super) fn encode(tenant: &str, name: &ImageName, reference: Reference) -> Bytes {
    let kept = Kept { tenant: tenant.to_owned(), name: name.as_str().to_owned(), reference };
    serde_json::to_vec(&kept).unwrap_or_default().into()
}

/// What the name stood for, if that is what the file says.
pub(super) fn decode(bytes: &[u8], tenant: &str, name: &ImageName) -> Option<Reference> {
    let kept: Kept = serde_json::from_slice(bytes).ok()?;
    (kept.tenant == tenant && kept.name == name.as_str()).then_some(kept.reference)
}
