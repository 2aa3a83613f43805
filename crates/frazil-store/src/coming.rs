//! An object on its way: what it begins with is here before the rest has come.
//!
//! One request brings all of a manifest, although a mount needs only the beginning: the reader goes on with what has
//! come, and takes the rest as it comes. Nothing is verified here.

use std::fmt;

use bytes::Bytes;
use frazil_format::{ManifestId, RootId};
use futures::stream::StreamExt;

use crate::images::MAX_MANIFEST_BYTES;
use crate::pieces::{Gathering, Pieces};
use crate::roots::alarm::Access;
use crate::{ErrorClass, Store, StoreError, layout};

/// How much of a manifest is waited for before it is said to be on its way, in bytes: the header and the first pages
/// of an image of any size, and all of the manifest up to three thousand chunks.
pub const MANIFEST_FRONT_LEN: u64 = 256 << 10;

/// An object's bytes from some place on, as they come.
pub struct Coming {
    /// The length of the whole object, in bytes.
    pub len: u64,
    /// What follows; the whole object if it was asked for from its beginning.
    pub bytes: Pieces,
}

impl Coming {
    /// Waits until `len` bytes have come, or all that there are; they stay in front of those that follow.
    ///
    /// # Errors
    /// What the store says.
    pub async fn gathered(self, len: u64) -> Result<Self, StoreError> {
        let mut gathering = Gathering::of(self.bytes);
        gathering.reach(len).await?;
        Ok(Self { len: self.len, bytes: gathering.all() })
    }
}

impl fmt::Debug for Coming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coming").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Store {
    /// A manifest as it was put, from this byte on, as it comes; not verified.
    ///
    /// # Errors
    /// What the store says; [`StoreError::Oversized`] if it is longer than any manifest.
    pub async fn manifest_from(
        &self,
        root: RootId,
        id: &ManifestId,
        from: u64,
    ) -> Result<Coming, StoreError> {
        self.noticed(root, Access::Manifest, self.unnoticed_manifest_from(root, id, from)).await
    }

    /// As [`Store::manifest_from`], for a caller that looks at the root itself.
    pub(crate) async fn unnoticed_manifest_from(
        &self,
        root: RootId,
        id: &ManifestId,
        from: u64,
    ) -> Result<Coming, StoreError> {
        let path = layout::manifest(root, id);
        match self.objects().stream_from(&path, from, MAX_MANIFEST_BYTES).await {
            // A server that does not know ranges says so in its own words: then the manifest is asked for
            // from its beginning.
            Err(error) if from > 0 && error.class() != ErrorClass::NotFound => {
                let Coming { len, bytes } = self.objects().stream_from(&path, 0, MAX_MANIFEST_BYTES).await?;
                Ok(Coming { len, bytes: without_first(bytes, from) })
            }
            answer => answer,
        }
    }
}

/// The pieces without their first `unwanted` bytes.
fn without_first(pieces: Pieces, mut unwanted: u64) -> Pieces {
    let wanted = pieces.filter_map(move |piece| {
        let wanted = piece.map(|mut piece: Bytes| {
            let cut = unwanted.min(piece.len() as u64);
            unwanted -= cut;
            piece.split_off(cut as usize)
        });
        std::future::ready(Some(wanted).filter(|piece| !matches!(piece, Ok(piece) if piece.is_empty())))
    });
    wanted.boxed()
}
