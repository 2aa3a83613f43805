//! A head start: the profiles of a manifest once more and, in the same object, how the bundle begins that was made last.
//!
//! ```text
//! length of the profiles (u64) ‖ profiles ‖ bundle id (32) ‖ length of the bundle (u64) ‖ its first MiB
//! ```
//!
//! Only the profiles say which bundle a start reads. Who has nothing of an image reads this object in their place, and
//! has its first chunks a round trip sooner. It follows the profiles, and may be behind them or missing, as all that
//! lies beside a manifest may: whoever reads holds the bundle's id against the one that he looks for.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use frazil_format::bounds::{MAX_BUNDLE_LEN, MAX_PROFILES_LEN};
use frazil_format::{BundleId, ManifestId, RootId};
use futures::stream::{StreamExt, TryStreamExt};

use crate::images::optional;
use crate::objects::Durability;
use crate::pieces::Pieces;
use crate::{Store, StoreError, layout};

/// How much of a bundle is in a head start, in bytes: the shortest bundle, and what a link of 1 Gbit/s brings in 8 ms.
pub const BUNDLE_HEAD_LEN: u64 = 1 << 20;

/// In front of the profiles: their length.
const PROFILES_LEN: usize = size_of::<u64>();

/// In front of the bundle's bytes: its id and its length.
const BUNDLE_LEN: usize = size_of::<BundleId>() + size_of::<u64>();

const MAX_LEN: u64 = (PROFILES_LEN + BUNDLE_LEN) as u64 + MAX_PROFILES_LEN + BUNDLE_HEAD_LEN;

/// The profiles of a manifest, and the beginning of a bundle as it comes.
#[derive(Debug)]
pub struct HeadStart {
    /// The profiles, as they were put.
    pub profiles: Bytes,
    /// The bundle; none if none was made when they were put.
    pub head: Option<BundleHead>,
}

/// How a bundle begins.
pub struct BundleHead {
    /// Which one.
    pub id: BundleId,
    /// The length of all of it, in bytes.
    pub bundle_len: u64,
    /// Its first [`BUNDLE_HEAD_LEN`] bytes, as they come.
    pub bytes: Pieces,
}

impl fmt::Debug for BundleHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundleHead").field("id", &self.id).field("bundle_len", &self.bundle_len).finish()
    }
}

/// The beginning of a bundle that this process has written.
#[derive(Debug)]
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
        bytes.put_slice(&self.head);
        bytes.freeze()
    }
}

impl Store {
    /// The head start of a manifest, of which the profiles have come; `None` if there is none.
    ///
    /// # Errors
    /// What the store says, and what is wrong with the object.
    pub async fn head_start(
        &self,
        root: RootId,
        manifest: &ManifestId,
    ) -> Result<Option<HeadStart>, StoreError> {
        let path = layout::head_start(root, manifest);
        let Some(coming) = optional(self.objects().stream_from(&path, 0, MAX_LEN).await)? else {
            return Ok(None);
        };
        let mut coming = Coming { here: BytesMut::new(), rest: coming.bytes };
        let damaged =
            |reason: &str| StoreError::Damaged { path: path.to_string(), reason: reason.to_owned() };
        let len = coming.take(PROFILES_LEN).await?.ok_or_else(|| damaged("it has no profiles"))?.get_u64_le();
        if len > MAX_PROFILES_LEN {
            return Err(damaged("its profiles are too long"));
        }
        let profiles = coming.take(len as usize).await?.ok_or_else(|| damaged("its profiles are cut off"))?;
        let head = match coming.take(BUNDLE_LEN).await? {
            None => None,
            Some(mut about) => {
                let mut id = [0; size_of::<BundleId>()];
                about.copy_to_slice(&mut id);
                let bundle_len = about.get_u64_le();
                if !(BUNDLE_HEAD_LEN..=MAX_BUNDLE_LEN).contains(&bundle_len) {
                    return Err(damaged("its bundle has no such length"));
                }
                Some(BundleHead { id: BundleId::from_bytes(id), bundle_len, bytes: coming.all() })
            }
        };
        Ok(Some(HeadStart { profiles, head }))
    }

    /// Has the head start follow the profiles. What goes wrong leaves the old one, or none.
    pub(crate) async fn follow_profiles(&self, root: RootId, manifest: &ManifestId, profiles: &[u8]) {
        if let Err(error) = self.put_head_start(root, manifest, profiles).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, %manifest, "its head start is not the newest");
        }
    }

    async fn put_head_start(
        &self,
        root: RootId,
        manifest: &ManifestId,
        profiles: &[u8],
    ) -> Result<(), StoreError> {
        let path = layout::head_start(root, manifest);
        let bundle = match self.take_made(manifest) {
            Some(made) => made.bytes(),
            None => optional(self.objects().read_once(&path, MAX_LEN).await)?
                .and_then(bundle_in)
                .unwrap_or_default(),
        };
        let mut bytes = BytesMut::with_capacity(PROFILES_LEN + profiles.len() + bundle.len());
        bytes.put_u64_le(profiles.len() as u64);
        bytes.put_slice(profiles);
        bytes.put_slice(&bundle);
        self.objects().put(&path, bytes.freeze(), Durability::AtBarrier).await
    }
}

/// What stands behind the profiles of a head start, if that is whole.
fn bundle_in(mut head_start: Bytes) -> Option<Bytes> {
    let len = usize::try_from(head_start.try_get_u64_le().ok()?).ok()?;
    let bundle = (len <= head_start.len()).then(|| head_start.split_off(len))?;
    (bundle.len() == BUNDLE_LEN + BUNDLE_HEAD_LEN as usize).then_some(bundle)
}

/// An object that comes, part by part.
struct Coming {
    here: BytesMut,
    rest: Pieces,
}

impl Coming {
    /// The next bytes; none if so many do not come.
    async fn take(&mut self, len: usize) -> Result<Option<Bytes>, StoreError> {
        while self.here.len() < len {
            match self.rest.try_next().await? {
                Some(piece) => self.here.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
        Ok(Some(self.here.split_to(len).freeze()))
    }

    /// All that follows.
    fn all(self) -> Pieces {
        let here = futures::stream::once(std::future::ready(Ok(self.here.freeze())));
        here.chain(self.rest).boxed()
    }
}
