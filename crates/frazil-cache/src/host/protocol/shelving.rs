//! Profiles and bundles in requests: what they are of, and the pieces that they come in.

use bytes::{BufMut, Bytes, BytesMut};
use frazil_format::{BundleId, ManifestId, RootId};
use frazil_store::Reference;

use super::frame::split;
use super::{MAX_SHELVED_LEN, Purpose, Question, Request};

/// The profiles of a manifest, or one of its bundles.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Shelved {
    /// The manifest, and its root.
    pub of: Reference,
    /// The bundle; none for the profiles.
    pub bundle: Option<BundleId>,
}

impl Shelved {
    pub(super) fn put_shelved(&self, body: &mut BytesMut, offset: u64, len: u32) {
        self.put_head(body, len, offset);
        if let Some(bundle) = &self.bundle {
            body.put_slice(bundle.as_bytes());
        }
    }

    pub(super) fn put_shelve(&self, body: &mut BytesMut, offset: u64, piece: &[u8]) {
        self.put_head(body, 0, offset);
        self.put_bundle(body);
        body.put_slice(piece);
    }

    pub(super) fn put_clear(&self, body: &mut BytesMut) {
        body.put_u32_le(self.of.root.number());
        body.put_slice(self.of.manifest.as_bytes());
        self.put_bundle(body);
    }

    /// Zeros for none.
    fn put_bundle(&self, body: &mut BytesMut) {
        body.put_slice(&self.bundle.map_or([0; 32], |bundle| *bundle.as_bytes()));
    }

    fn put_head(&self, body: &mut BytesMut, word: u32, offset: u64) {
        body.put_u32_le(self.of.root.number());
        body.put_u32_le(word);
        body.put_u64_le(offset);
        body.put_slice(self.of.manifest.as_bytes());
    }
}

/// The manifest, the second word, the offset, and what follows.
fn head(body: &[u8]) -> Option<(Reference, u32, u64, &[u8])> {
    let (root, rest) = split(body)?;
    let (word, rest) = split(rest)?;
    let (offset, rest) = split(rest)?;
    let (manifest, rest) = split(rest)?;
    let root = RootId::from_number(u32::from_le_bytes(root));
    let of = Reference { root, manifest: ManifestId::from_bytes(manifest) };
    Some((of, u32::from_le_bytes(word), u64::from_le_bytes(offset), rest))
}

/// Zeros are no bundle.
fn bundle(id: [u8; 32]) -> Option<BundleId> {
    (id != [0; 32]).then(|| BundleId::from_bytes(id))
}

pub(super) fn shelved(purpose: Purpose, body: &[u8]) -> Option<Request> {
    let (of, len, offset, rest) = head(body)?;
    let question = match rest {
        [] if (len, offset) == (0, 0) => {
            Question::Shelved { what: Shelved { of, bundle: None }, offset, len, purpose }
        }
        _ => {
            let bundle = Some(bundle(rest.try_into().ok()?)?);
            (1..=MAX_SHELVED_LEN).contains(&len).then_some(())?;
            Question::Shelved { what: Shelved { of, bundle }, offset, len, purpose }
        }
    };
    Some(Request::Ask(question))
}

pub(super) fn shelve(detail: u8, body: &[u8]) -> Option<Request> {
    let (of, reserved, offset, rest) = head(body)?;
    let (id, piece) = split(rest)?;
    let last = match detail {
        0 => false,
        1 => true,
        _ => return None,
    };
    let what = Shelved { of, bundle: bundle(id) };
    let question = Question::Shelve { what, offset, last, piece: Bytes::copy_from_slice(piece) };
    (reserved == 0).then_some(Request::Ask(question))
}

pub(super) fn clear(body: &[u8]) -> Option<Request> {
    let (root, rest) = split(body)?;
    let (manifest, rest) = split(rest)?;
    let root = RootId::from_number(u32::from_le_bytes(root));
    let bundle = Some(bundle(rest.try_into().ok()?)?);
    let of = Reference { root, manifest: ManifestId::from_bytes(manifest) };
    Some(Request::Ask(Question::Clear(Shelved { of, bundle })))
}
