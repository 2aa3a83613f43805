//! Bundles that stay on the host, so that fifty starts of one image read its bundle once.
//!
//! ```text
//! <directory>/<bundle id>/<n>    its bytes from n × 4 MiB on, up to 4 MiB of them, and a hash
//! ```
//!
//! A bundle never changes, and whoever reads it authenticates it. It is read from the shelf below in blocks, which
//! are handed on while they come; so agents may ask for parts as small as they like. The first block may have begun to
//! come along with the profiles.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use frazil_format::BundleId;
use frazil_format::bounds::MAX_BUNDLE_LEN;
use frazil_store::Reference;
use futures::stream::{self, StreamExt};

use super::heads::{Heads, continued};
use super::kept::files::Files;
use super::kept::streams::Streams;
use super::{BundleBytes, BundleHead, HeadStart, HostError, ProfileShelf};
use crate::Wanted;

/// Bundles are read and kept in blocks of this many bytes.
pub const BUNDLE_BLOCK_LEN: u64 = 4 << 20;

/// Whether the tiers of this process have a chunk.
pub type Near = Arc<dyn Fn(&Wanted) -> bool + Send + Sync>;

/// How much of bundles is kept, and where.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct KeptBundlesOptions {
    /// A directory for them, and how many bytes it may hold; none keeps them in memory alone.
    pub directory: Option<(PathBuf, u64)>,
    /// Memory for those that were read last, in bytes.
    pub memory_bytes: u64,
    /// Whether the first start of an image gets the beginning of a bundle along with its profiles.
    pub head_starts: bool,
}

/// A shelf that reads bundles once for all who ask, and remembers them.
pub struct KeptBundles {
    below: Arc<dyn ProfileShelf>,
    near: Option<Near>,
    streams: Streams,
    head_starts: bool,
    heads: Heads,
}

impl KeptBundles {
    /// Keeps what is read of the bundles of another shelf.
    pub fn new(below: Arc<dyn ProfileShelf>, options: KeptBundlesOptions) -> Self {
        let KeptBundlesOptions { directory, memory_bytes, head_starts } = options;
        let files = directory.map(|(directory, budget_bytes)| Files::new(directory, budget_bytes));
        let streams = Streams::new(files, BUNDLE_BLOCK_LEN, memory_bytes);
        Self { below, near: None, streams, head_starts, heads: Heads::default() }
    }

    /// Lets the shelf know what the tiers beside it have.
    #[must_use]
    pub fn beside(self, near: Near) -> Self {
        Self { near: Some(near), ..self }
    }

    /// A bundle of this manifest has begun to come, and will be asked for.
    pub fn expect(&self, of: &Reference, head: BundleHead) {
        self.heads.keep(*of, head);
    }

    fn part_of_block(&self, of: Reference, id: BundleId, block: u64, part: Range<u64>) -> BundleBytes {
        let below = Arc::clone(&self.below);
        let start = block * BUNDLE_BLOCK_LEN;
        let heads = self.heads.clone();
        let fetch = async move {
            match (block == 0).then(|| heads.take(&of, &id)).flatten() {
                Some(head) => Ok(continued(head, of, BUNDLE_BLOCK_LEN, below)),
                None => below.bundle(&of, &id, start..start + BUNDLE_BLOCK_LEN).await,
            }
        };
        self.streams.join(format!("{}-{id}/{block}", of.manifest), part, fetch)
    }
}

/// The blocks of a range, and which part of each.
fn blocks(range: Range<u64>) -> impl Iterator<Item = (u64, Range<u64>)> {
    let first = range.start / BUNDLE_BLOCK_LEN;
    (first..range.end.div_ceil(BUNDLE_BLOCK_LEN)).map(move |block| {
        let start = block * BUNDLE_BLOCK_LEN;
        let [from, to] =
            [range.start, range.end].map(|edge| edge.saturating_sub(start).min(BUNDLE_BLOCK_LEN));
        (block, from..to)
    })
}

#[async_trait]
impl ProfileShelf for KeptBundles {
    async fn profiles(&self, of: &Reference) -> Result<Option<Bytes>, HostError> {
        self.below.profiles(of).await
    }

    /// The head stays here, for whoever asks for its bundle.
    async fn head_start(&self, of: &Reference) -> Result<HeadStart, HostError> {
        let begun = match self.head_starts && self.heads.is_first_look(of) {
            true => self.below.head_start(of).await,
            false => Ok(HeadStart { profiles: self.below.profiles(of).await?, head: None }),
        };
        match begun {
            Ok(HeadStart { profiles, head }) => {
                head.into_iter().for_each(|head| self.expect(of, head));
                Ok(HeadStart { profiles, head: None })
            }
            Err(error) => {
                tracing::debug!(%error, "without a head start");
                Ok(HeadStart { profiles: self.below.profiles(of).await?, head: None })
            }
        }
    }

    async fn put_profiles(&self, of: &Reference, bytes: Bytes) -> Result<(), HostError> {
        self.below.put_profiles(of, bytes).await
    }

    async fn bundle(
        &self,
        of: &Reference,
        id: &BundleId,
        range: Range<u64>,
    ) -> Result<BundleBytes, HostError> {
        if range.end > MAX_BUNDLE_LEN || range.is_empty() {
            return self.below.bundle(of, id, range).await;
        }
        let parts: Vec<_> =
            blocks(range).map(|(block, part)| self.part_of_block(*of, *id, block, part)).collect();
        Ok(stream::iter(parts).flatten().boxed())
    }

    async fn put_bundle(&self, of: &Reference, id: &BundleId, bytes: BundleBytes) -> Result<(), HostError> {
        self.below.put_bundle(of, id, bytes).await
    }

    async fn delete_bundle(&self, of: &Reference, id: &BundleId) -> Result<(), HostError> {
        self.below.delete_bundle(of, id).await
    }

    async fn is_near(&self, wanted: &Wanted) -> bool {
        self.near.as_ref().is_some_and(|near| near(wanted))
    }
}

impl fmt::Debug for KeptBundles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptBundles").field("below", &self.below).finish_non_exhaustive()
    }
}

impl fmt::Display for KeptBundles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kept → {}", self.below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_the_edges_of_blocks() {
        let cut = |range| blocks(range).collect::<Vec<_>>();
        let len = BUNDLE_BLOCK_LEN;
        assert_eq!(cut(3..9), [(0, 3..9)]);
        assert_eq!(cut(0..len), [(0, 0..len)]);
        assert_eq!(cut(len - 1..2 * len + 5), [(0, len - 1..len), (1, 0..len), (2, 0..5)]);
    }
}
