//! A head start: a second copy of a manifest's profiles and, in the same object, the beginning of the newest
//! bundle.
//!
//! ```text
//! length of the profiles (u64) ‖ profiles ‖ bundle id (32) ‖ length of the bundle (u64) ‖ hash (32) ‖ its first MiB
//! ```
//!
//! The hash is BLAKE3(id ‖ length ‖ first MiB): it detects damage, so that nothing damaged is kept; the
//! reader of the bundle authenticates it.
//!
//! A reader that has nothing of an image reads this object in place of the profiles, and has its first chunks
//! a round trip sooner. Only the profiles say which bundle a start reads: the reader compares the bundle's id
//! with the one that it looks for. The head start is put before the profiles, so where there is none there
//! are no profiles.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use frazil_format::bounds::{MAX_BUNDLE_LEN, MAX_PROFILES_LEN};
use frazil_format::{BundleId, ManifestId, RootId};
use futures::stream::{StreamExt, TryStreamExt};
use object_store::path::Path;

use crate::images::optional;
use crate::objects::Durability;
use crate::pieces::{self, Gathering, Pieces};
use crate::{Store, StoreError, layout};

/// How much of a bundle is in a head start, in bytes: the shortest bundle, and what a link of 1 Gbit/s brings in 8 ms.
pub const BUNDLE_HEAD_LEN: u64 = 1 << 20;

/// In front of the profiles: their length.
const PROFILES_LEN: usize = size_of::<u64>();

/// In front of the bundle's bytes: its id, its length and the hash.
const BUNDLE_LEN: usize = size_of::<BundleId>() + size_of::<u64>() + blake3::OUT_LEN;

/// The longest head start, in bytes.
pub(crate) const MAX_LEN: u64 = (PROFILES_LEN + BUNDLE_LEN) as u64 + MAX_PROFILES_LEN + BUNDLE_HEAD_LEN;

/// The profiles of a manifest, and the beginning of a bundle as it comes.
#[derive(Debug)]
pub struct HeadStart {
    /// The profiles, as they were put.
    pub profiles: Bytes,
    /// The bundle; none if none was made when they were put.
    pub head: Option<BundleHead>,
}

/// How a bundle begins, its bytes in a stream: a store's, or that of whoever hands them on.
pub struct BundleHead<S = Pieces> {
    /// Which one.
    pub id: BundleId,
    /// The length of all of it, in bytes.
    pub bundle_len: u64,
    /// Its first [`BUNDLE_HEAD_LEN`] bytes, as they come; ends with [`StoreError::Damaged`] if they are not
    /// those.
    pub bytes: S,
}

impl HeadStart {
    /// Waits for the profiles and gives them with the rest as it comes; `None` if nothing comes.
    pub(crate) async fn of(mut coming: Gathering, path: &Path) -> Result<Option<Self>, StoreError> {
        if !coming.reach(1).await? {
            return Ok(None);
        }
        let len = coming
            .take(PROFILES_LEN)
            .await?
            .ok_or_else(|| StoreError::damaged(path, "it has no profiles"))?
            .get_u64_le();
        if len > MAX_PROFILES_LEN {
            return Err(StoreError::damaged(path, "its profiles are too long"));
        }
        let profiles = coming
            .take(len as usize)
            .await?
            .ok_or_else(|| StoreError::damaged(path, "its profiles are cut off"))?;
        let head = match coming.take(BUNDLE_LEN).await? {
            None => None,
            Some(mut about) => {
                let mut id = [0; size_of::<BundleId>()];
                about.copy_to_slice(&mut id);
                let bundle_len = about.get_u64_le();
                if !(BUNDLE_HEAD_LEN..=MAX_BUNDLE_LEN).contains(&bundle_len) {
                    return Err(StoreError::damaged(path, "its bundle has no such length"));
                }
                let mut hash = [0; blake3::OUT_LEN];
                about.copy_to_slice(&mut hash);
                let id = BundleId::from_bytes(id);
                let bytes = held_against(hash, hasher(&id, bundle_len), coming.all(), path.clone());
                Some(BundleHead { id, bundle_len, bytes: pieces::read_on(bytes) })
            }
        };
        Ok(Some(HeadStart { profiles, head }))
    }
}

impl<S> fmt::Debug for BundleHead<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundleHead").field("id", &self.id).field("bundle_len", &self.bundle_len).finish()
    }
}

/// The beginning of a bundle that this process has written.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) manifest: ManifestId,
    pub(crate) id: BundleId,
    pub(crate) bundle_len: u64,
    pub(crate) head: Bytes,
}

impl Made {
    fn bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(BUNDLE_LEN + self.head.len());
        bytes.put_slice(self.id.as_bytes());
        bytes.put_u64_le(self.bundle_len);
        let mut hasher = hasher(&self.id, self.bundle_len);
        bytes.put_slice(hasher.update(&self.head).finalize().as_bytes());
        bytes.put_slice(&self.head);
        bytes.freeze()
    }
}

fn hasher(id: &BundleId, bundle_len: u64) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(id.as_bytes()).update(&bundle_len.to_le_bytes());
    hasher
}

/// The bundles that were written last, each kept until the profiles that name it are written.
#[derive(Default, Debug)]
pub(crate) struct LatelyMade(Mutex<VecDeque<Made>>);

/// How many images may be learnt at the same time through one store before one goes without the head of its
/// bundle.
const LATELY_MAX: usize = 16;

impl LatelyMade {
    pub(crate) fn add(&self, made: Made) {
        let mut lately = self.lock();
        lately.retain(|earlier| earlier.manifest != made.manifest);
        lately.push_back(made);
        if lately.len() > LATELY_MAX {
            lately.pop_front();
        }
    }

    fn of(&self, manifest: &ManifestId) -> Option<Made> {
        self.lock().iter().find(|made| made.manifest == *manifest).cloned()
    }

    fn forget(&self, id: &BundleId) {
        self.lock().retain(|made| made.id != *id);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Made>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// The head start of a manifest, as soon as its profiles have come; `None` if there is none.
    ///
    /// # Errors
    /// What the store says, and what is wrong with the object.
    pub async fn head_start(
        &self,
        root: RootId,
        manifest: &ManifestId,
    ) -> Result<Option<HeadStart>, StoreError> {
        let path = layout::head_start(root, manifest);
        match optional(self.objects().stream_once(&path, MAX_LEN).await)? {
            None => Ok(None),
            Some(coming) => match HeadStart::of(Gathering::of(coming.bytes), &path).await? {
                None => Err(StoreError::damaged(&path, "it is empty")),
                begun => Ok(begun),
            },
        }
    }

    /// Replaces the head start of a manifest, and gives it. Put before the profiles: where it is missing,
    /// they are too.
    pub(crate) async fn put_head_start(
        &self,
        root: RootId,
        manifest: &ManifestId,
        profiles: &[u8],
    ) -> Result<Bytes, StoreError> {
        let path = layout::head_start(root, manifest);
        let made = self.lately_made().of(manifest);
        let bundle = match &made {
            Some(made) => made.bytes(),
            None => optional(self.objects().read_once(&path, MAX_LEN).await)?
                .and_then(bundle_in)
                .unwrap_or_default(),
        };
        let mut bytes = BytesMut::with_capacity(PROFILES_LEN + profiles.len() + bundle.len());
        bytes.put_u64_le(profiles.len() as u64);
        bytes.put_slice(profiles);
        bytes.put_slice(&bundle);
        let bytes = bytes.freeze();
        self.objects().put(&path, bytes.clone(), Durability::AtBarrier).await?;
        made.iter().for_each(|made| self.lately_made().forget(&made.id));
        Ok(bytes)
    }
}

/// The bytes, whose hash is known; whether it matches is said when all of them have come.
fn held_against(hash: [u8; blake3::OUT_LEN], hasher: blake3::Hasher, bytes: Pieces, path: Path) -> Pieces {
    futures::stream::try_unfold((bytes, hasher, BUNDLE_HEAD_LEN), move |(mut bytes, mut hasher, missing)| {
        let path = path.clone();
        async move {
            match bytes.try_next().await? {
                Some(piece) => {
                    hasher.update(&piece);
                    let more = || StoreError::damaged(&path, "more follows than how a bundle begins");
                    let missing = missing.checked_sub(piece.len() as u64).ok_or_else(more)?;
                    Ok(Some((piece, (bytes, hasher, missing))))
                }
                // What is cut off is seen by its length.
                None if missing > 0 || hasher.finalize().as_bytes() == &hash => Ok(None),
                None => Err(StoreError::damaged(&path, "the bundle in it does not match its hash")),
            }
        }
    })
    .boxed()
}

/// What stands behind the profiles of a head start, if that is whole.
fn bundle_in(mut head_start: Bytes) -> Option<Bytes> {
    let len = usize::try_from(head_start.try_get_u64_le().ok()?).ok()?;
    let bundle = (len <= head_start.len()).then(|| head_start.split_off(len))?;
    (bundle.len() == BUNDLE_LEN + BUNDLE_HEAD_LEN as usize).then_some(bundle)
}
