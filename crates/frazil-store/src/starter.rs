//! A starter: what a start reads of an image before it knows what the image's name stands for.
//!
//! ```text
//! root (u32) ‖ manifest id (32) ‖ length of the manifest (u64) ‖ hash (32) ‖ the manifest's first 256 KiB ‖ head start
//! ```
//!
//! The hash is BLAKE3(root ‖ manifest id ‖ length ‖ the manifest's first 256 KiB); the head start ([`HeadStart`]) is
//! missing if there was none.
//!
//! The name and its starter are asked for at once, and the starter is used if it is for what the name stands
//! for. So the name alone says which image it is, and a start has the manifest and its first chunks a round
//! trip sooner. A starter that is missing, damaged or of an earlier version costs a start that round trip,
//! and nothing else. It is written when the name has changed, and when the profiles have, if they were learnt
//! through a store that found the image by its name; failing to write it is no failure.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use frazil_format::{ManifestId, RootId};
use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::path::Path;
use tokio::time::timeout;

use crate::head_start::{self, HeadStart};
use crate::images::{MAX_MANIFEST_BYTES, PROFILES_BEHIND, optional};
use crate::objects::Durability;
use crate::pieces::Gathering;
use crate::{
    Beside, Coming, ErrorClass, MANIFEST_FRONT_LEN, Published, Reference, Store, StoreError, layout,
};

/// In front of the manifest: root, manifest id and length, and the hash.
const HEADER_LEN: usize = ABOUT_LEN + blake3::OUT_LEN;

const ABOUT_LEN: usize = size_of::<u32>() + size_of::<ManifestId>() + size_of::<u64>();

const MAX_LEN: u64 = HEADER_LEN as u64 + MANIFEST_FRONT_LEN + head_start::MAX_LEN;

/// How much is read for a start that has chunks already, in bytes: the manifest, and profiles of a usual
/// length.
const WITHOUT_BUNDLE_LEN: u64 = HEADER_LEN as u64 + MANIFEST_FRONT_LEN + (64 << 10);

/// A starter of which the header has come.
pub(crate) struct Starter {
    header: Header,
    coming: Gathering,
    path: Path,
}

/// The names by which images were found through a store, for when something is learnt of an image later.
#[derive(Default, Debug)]
pub(crate) struct LatelyNamed(Mutex<HashMap<Reference, Path>>);

/// The most names that are remembered; when there are more, all of them are forgotten.
const NAMES_MAX: usize = 4096;

impl LatelyNamed {
    pub(crate) fn add(&self, reference: Reference, name: &Path) {
        let mut named = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= NAMES_MAX {
            named.clear();
        }
        named.insert(reference, name.clone());
    }

    fn of(&self, reference: &Reference) -> Option<Path> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(reference).cloned()
    }
}

/// What a starter begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Header {
    /// What the name stood for when it was written.
    reference: Reference,
    manifest_len: u64,
    hash: [u8; blake3::OUT_LEN],
}

impl Header {
    /// The header of a starter with this front of a manifest.
    fn new(reference: Reference, manifest_len: u64, front: &[u8]) -> Self {
        let mut header = Self { reference, manifest_len, hash: [0; blake3::OUT_LEN] };
        header.hash = header.hash_with(front);
        header
    }

    fn hash_with(&self, front: &[u8]) -> [u8; blake3::OUT_LEN] {
        *blake3::Hasher::new().update(&self.about()).update(front).finalize().as_bytes()
    }

    /// What the hash covers in front of the manifest.
    fn about(&self) -> [u8; ABOUT_LEN] {
        let mut about = [0; ABOUT_LEN];
        let mut rest = about.as_mut_slice();
        rest.put_u32_le(self.reference.root.number());
        rest.put_slice(self.reference.manifest.as_bytes());
        rest.put_u64_le(self.manifest_len);
        about
    }

    fn encode(&self, bytes: &mut BytesMut) {
        bytes.put_slice(&self.about());
        bytes.put_slice(&self.hash);
    }

    /// Reads [`HEADER_LEN`] bytes.
    fn decode(bytes: &[u8], path: &Path) -> Result<Self, StoreError> {
        let cut_off = || StoreError::damaged(path, "its header is cut off");
        let (root, rest) = bytes.split_first_chunk().ok_or_else(cut_off)?;
        let (manifest, rest) = rest.split_first_chunk().ok_or_else(cut_off)?;
        let (manifest_len, rest) = rest.split_first_chunk().ok_or_else(cut_off)?;
        let (hash, _) = rest.split_first_chunk().ok_or_else(cut_off)?;
        let manifest_len = u64::from_le_bytes(*manifest_len);
        if manifest_len > MAX_MANIFEST_BYTES {
            return Err(StoreError::damaged(path, "no manifest is so long"));
        }
        let root = RootId::from_number(u32::from_le_bytes(*root));
        let reference = Reference { root, manifest: ManifestId::from_bytes(*manifest) };
        Ok(Self { reference, manifest_len, hash: *hash })
    }
}

fn front_len(manifest_len: u64) -> usize {
    manifest_len.min(MANIFEST_FRONT_LEN) as usize
}

impl Starter {
    /// What the name stood for when it was written.
    pub(crate) fn reference(&self) -> Reference {
        self.header.reference
    }

    /// What the starter has of the image; the rest of the manifest is read from the store.
    pub(crate) async fn published(self, store: &Store, beside: Beside) -> Result<Published, StoreError> {
        let Self { header, mut coming, path } = self;
        let Header { reference, manifest_len, hash } = header;
        let front = coming.take(front_len(manifest_len)).await?;
        let front = front.ok_or_else(|| StoreError::damaged(&path, "its manifest is cut off"))?;
        if header.hash_with(&front) != hash {
            return Err(StoreError::damaged(&path, "it does not match its hash"));
        }
        let manifest = continued(store.clone(), reference, manifest_len, front);
        // What is damaged or late behind the manifest is as good as nothing.
        let (profiles, head) = match timeout(PROFILES_BEHIND, HeadStart::of(coming, &path)).await {
            Ok(Ok(Some(HeadStart { profiles, head }))) => (Some(Some(profiles)), head),
            Ok(Ok(None)) => (Some(None), None),
            Ok(Err(_)) | Err(_) => (None, None),
        };
        let head = head.filter(|_| beside == Beside::HeadStart);
        Ok(Published { reference, manifest, profiles, head })
    }
}

/// A manifest whose front is here; the rest is asked for when the front was taken.
fn continued(store: Store, of: Reference, len: u64, front: Bytes) -> Coming {
    let begin = stream::once(std::future::ready(Ok(front)));
    if len <= MANIFEST_FRONT_LEN {
        return Coming { len, bytes: begin.boxed() };
    }
    let rest = async move {
        let rest = store.unnoticed_manifest_from(of.root, &of.manifest, MANIFEST_FRONT_LEN).await;
        rest.map(|rest| rest.bytes)
    };
    Coming { len, bytes: begin.chain(stream::once(rest).try_flatten()).boxed() }
}

impl Store {
    /// The starter of a name, of which the header has come; `None` if there is none.
    pub(crate) async fn starter(&self, name: &Path, beside: Beside) -> Result<Option<Starter>, StoreError> {
        let path = layout::starter(name);
        let coming = match beside {
            Beside::HeadStart => self.objects().stream_once(&path, MAX_LEN).await,
            Beside::Profiles => self.objects().stream_begin_once(&path, WITHOUT_BUNDLE_LEN, MAX_LEN).await,
        };
        let Some(coming) = optional(coming)? else { return Ok(None) };
        let mut coming = Gathering::of(coming.bytes);
        let header = coming.take(HEADER_LEN).await?.unwrap_or_default();
        let header = Header::decode(&header, &path)?;
        Ok(Some(Starter { header, coming, path }))
    }

    /// Writes the starter of a name that stands for this now, if it can.
    pub(crate) async fn lay_starter(&self, name: &Path, of: &Reference) {
        self.try_to_lay(name, of, self.head_start_bytes(of)).await;
    }

    async fn try_to_lay(
        &self,
        name: &Path,
        of: &Reference,
        head_start: impl Future<Output = Result<Bytes, StoreError>>,
    ) {
        match self.put_starter(name, of, head_start).await {
            Ok(()) => {}
            // What it knows of profiles then stays as it was, also when others have learnt more.
            Err(error) if error.class() == ErrorClass::Denied => {
                tracing::warn!(%name, %error, "a starter cannot be written");
            }
            Err(error) => tracing::debug!(%name, %error, "no starter: starts of it take a round trip more"),
        }
    }

    /// Writes the starter of the name that a manifest was found by, now that this is its head start.
    pub(crate) async fn renew_starter(&self, root: RootId, manifest: &ManifestId, head_start: Bytes) {
        let reference = Reference { root, manifest: *manifest };
        let Some(name) = self.lately_named().of(&reference) else { return };
        // It may stand for a newer version by now, whose starter this would replace.
        if matches!(self.read_name(&name).await, Ok(Some(current)) if current == reference) {
            self.try_to_lay(&name, &reference, std::future::ready(Ok(head_start))).await;
        }
    }

    /// The head start of a manifest as it was put; empty if there is none.
    async fn head_start_bytes(&self, of: &Reference) -> Result<Bytes, StoreError> {
        let path = layout::head_start(of.root, &of.manifest);
        match self.objects().read_once(&path, head_start::MAX_LEN).await {
            // A bucket that may not be listed answers "forbidden" for what is not there.
            Err(error) if matches!(error.class(), ErrorClass::NotFound | ErrorClass::Denied) => {
                Ok(Bytes::new())
            }
            read => read,
        }
    }

    async fn put_starter(
        &self,
        name: &Path,
        of: &Reference,
        head_start: impl Future<Output = Result<Bytes, StoreError>>,
    ) -> Result<(), StoreError> {
        let manifest = layout::manifest(of.root, &of.manifest);
        let front = async {
            let begin =
                self.objects().stream_begin_once(&manifest, MANIFEST_FRONT_LEN, MAX_MANIFEST_BYTES).await?;
            let mut coming = Gathering::of(begin.bytes);
            let front = coming.take(front_len(begin.len)).await?;
            let front = front.ok_or_else(|| StoreError::damaged(&manifest, "it is shorter than it says"))?;
            Ok::<_, StoreError>((begin.len, front))
        };
        let ((manifest_len, front), head_start) = futures::try_join!(front, head_start)?;
        let mut bytes = BytesMut::with_capacity(HEADER_LEN + front.len() + head_start.len());
        Header::new(*of, manifest_len, &front).encode(&mut bytes);
        bytes.put_slice(&front);
        bytes.put_slice(&head_start);
        self.objects().put(&layout::starter(name), bytes.freeze(), Durability::AtBarrier).await
    }

    /// Takes the starter of a name away, if it can: one that stays is of no use to anybody, and is swept.
    pub(crate) async fn drop_starter(&self, name: &Path) {
        if let Err(error) = self.objects().delete(&layout::starter(name)).await {
            tracing::debug!(%name, %error, "its starter stays until it is swept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_and_belongs_to_its_front() {
        let reference = Reference { root: RootId::FIRST, manifest: ManifestId::from_bytes([0xab; 32]) };
        let (header, path) = (Header::new(reference, 9, b"the front"), Path::from("starters/t/n"));
        let mut bytes = BytesMut::new();
        header.encode(&mut bytes);
        assert_eq!(bytes.len(), HEADER_LEN);
        assert_eq!(Header::decode(&bytes, &path).unwrap(), header);
        assert_eq!(header.hash_with(b"the front"), header.hash);
        assert_ne!(header.hash_with(b"the fronT"), header.hash);
        for len in 0..HEADER_LEN {
            assert!(Header::decode(&bytes[..len], &path).is_err(), "{len}");
        }
        bytes[ABOUT_LEN - 8..ABOUT_LEN].copy_from_slice(&(MAX_MANIFEST_BYTES + 1).to_le_bytes());
        assert!(Header::decode(&bytes, &path).is_err());
    }
}
