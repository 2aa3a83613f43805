//! Whether chunks are still there: asked before a layer that is known is trusted.
//!
//! A bucket is asked for listings, a thousand chunks a request, as long as that is cheaper than asking for each chunk;
//! a directory is asked for each, which is a stat(2). Nothing is read, so damage of the same length is not noticed:
//! that is what scrubbing is for.

use std::collections::{HashMap, HashSet};

use frazil_format::{ChunkId, RootId};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{Store, StoreError, layout};

/// Chunks that are asked for at once.
const CONCURRENT_HEADS: usize = 64;

/// How many listed chunks one chunk that is looked for is worth. A page of a listing has a thousand; a listing that is
/// given up has then cost one and a half requests for every hundred that follow.
const LISTED_PER_WANTED: usize = 16;

/// The fewest chunks for which a listing is tried: fewer are all asked for at once.
const LIST_FROM: usize = CONCURRENT_HEADS;

impl Store {
    /// Which of these chunks, given with their sealed lengths, are not in the root, or have another length there.
    pub async fn absent_chunks(
        &self,
        root: RootId,
        wanted: &HashMap<ChunkId, u32>,
    ) -> Result<HashSet<ChunkId>, StoreError> {
        let is_remote = self.objects().stall.is_some();
        if is_remote
            && wanted.len() >= LIST_FROM
            && let Some(absent) = self.absent_by_listing(root, wanted).await?
        {
            return Ok(absent);
        }
        let heads = wanted.iter().map(|(id, len)| async move {
            let is_there = self.contains_chunk(root, id).await? == Some(u64::from(*len));
            Ok::<_, StoreError>((!is_there).then_some(*id))
        });
        stream::iter(heads)
            .buffer_unordered(CONCURRENT_HEADS)
            .try_filter_map(|absent| async move { Ok(absent) })
            .try_collect()
            .await
    }

    /// As [`Store::absent_chunks`], by listing; `None` if the root has so many chunks that a listing does not
    /// pay.
    async fn absent_by_listing(
        &self,
        root: RootId,
        wanted: &HashMap<ChunkId, u32>,
    ) -> Result<Option<HashSet<ChunkId>>, StoreError> {
        let mut absent: HashSet<ChunkId> = wanted.keys().copied().collect();
        let mut listing = self.objects().below(&layout::chunks(root));
        for _ in 0..wanted.len().saturating_mul(LISTED_PER_WANTED) {
            let Some(listed) = listing.next().await else { return Ok(Some(absent)) };
            let listed = listed?;
            if let Some(id) = layout::id_of::<ChunkId>(&listed.path)
                && wanted.get(&id).is_some_and(|len| u64::from(*len) == listed.len)
            {
                absent.remove(&id);
                if absent.is_empty() {
                    return Ok(Some(absent));
                }
            }
        }
        Ok(None)
    }
}
