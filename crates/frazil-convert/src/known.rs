//! Layers that the store knows already: their indexes, before any byte of their source is touched.
//!
//! Invariant: an index that is found was made by this tenant, for this layer, scope, root and way of cutting, and its
//! chunks are in the store. One that cannot be opened, or whose chunks are gone, counts as unknown, so that its layer is
//! read again and brings them back.
//!
//! An index that was made in an older root may lie in this one, copied there with its chunks. It then lies
//! under the name that it had, which derives from the older root.
//!
//! Every index is sealed with the tenant's own secret, even the indexes of layers in the shared scope:
//! everybody who converts has that scope's secret, and could write an index that gives a layer of everybody's
//! other bytes. So each tenant reads a public layer once itself; its chunks are the same, and are there
//! already.

use std::collections::{HashMap, HashSet};

use frazil_format::{ChunkId, Compression, DiffId, LayerIndex, LayerIndexId, RootId, ScopeSecret};
use frazil_store::Store;
use futures::{StreamExt, TryStreamExt, stream};

use crate::ingest::Limits;
use crate::keys::Sealings;
use crate::source::LayerDescriptor;
use crate::{ConvertError, CutParameters};

/// How many older roots are searched for indexes: at a root a month, those of a quarter of a year.
const OLDER_ROOTS: u32 = 3;

/// Layer indexes that are fetched at once.
const CONCURRENT_LOOKUPS: usize = 4;

/// Where a tenant's layer indexes are.
#[derive(Clone, Debug)]
pub(crate) struct LayerIndexes<'a> {
    pub(crate) store: &'a Store,
    pub(crate) root: RootId,
    pub(crate) secret: &'a ScopeSecret,
    pub(crate) cut: CutParameters,
    pub(crate) sealings: &'a Sealings,
    /// Chunks that are there and not sound: a layer that has one is read again.
    pub(crate) distrusted: &'a HashSet<ChunkId>,
}

impl LayerIndexes<'_> {
    /// The indexes of those layers that have one, each charged once, as it comes.
    pub(crate) async fn look_up(
        &self,
        layers: &[LayerDescriptor],
        limits: &Limits,
    ) -> Result<HashMap<DiffId, LayerIndex>, ConvertError> {
        let distinct: HashSet<DiffId> = layers.iter().map(|layer| layer.diff_id).collect();
        let lookups = distinct.into_iter().map(|diff_id| async move {
            let index = self.find(&diff_id).await?;
            Ok::<_, ConvertError>(index.map(|index| (diff_id, index)))
        });
        let found: Vec<_> = stream::iter(lookups).buffer_unordered(CONCURRENT_LOOKUPS).try_collect().await?;
        let mut known: HashMap<_, _> = found.into_iter().flatten().collect();
        self.forget_incomplete(&mut known).await?;
        for index in known.values() {
            limits.stream.take(index.stream_len)?;
            limits.entries(&index.entries)?;
        }
        Ok(known)
    }

    /// Forgets the layers whose chunks are not all there, and sound as far as is known.
    async fn forget_incomplete(&self, known: &mut HashMap<DiffId, LayerIndex>) -> Result<(), ConvertError> {
        let chunks = known.values().flat_map(|index| &index.chunks);
        let wanted: HashMap<ChunkId, u32> = chunks.map(|chunk| (chunk.id, chunk.sealed_len)).collect();
        let absent = self.store.absent_chunks(self.root, &wanted).await?;
        let is_lost = |id: &ChunkId| absent.contains(id) || self.distrusted.contains(id);
        known.retain(|diff_id, index| {
            let lost = index.chunks.iter().filter(|chunk| is_lost(&chunk.id)).count();
            if lost > 0 {
                tracing::warn!(%diff_id, lost, "the store has lost chunks of a known layer; it is read again");
            }
            lost == 0
        });
        Ok(())
    }

    /// Keeps a layer's index; its chunks were put.
    pub(crate) async fn keep(&self, index: &LayerIndex) -> Result<(), ConvertError> {
        let id = self.id(self.root, &index.diff_id);
        let sealed = index.seal(self.secret, self.root, &id)?;
        // The store passes its durability barrier before it writes an index, so that none outlives its chunks.
        self.store.put_layer_index(self.root, &id, sealed.into()).await?;
        Ok(())
    }

    async fn find(&self, diff_id: &DiffId) -> Result<Option<LayerIndex>, ConvertError> {
        let youngest = self.root.number();
        let oldest = youngest.saturating_sub(OLDER_ROOTS).max(RootId::FIRST.number());
        for number in (oldest..=youngest).rev() {
            if let Some(index) = self.find_of(RootId::from_number(number), diff_id).await? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// An index that was made in the given root, and lies in the root that is written to.
    async fn find_of(&self, made_in: RootId, diff_id: &DiffId) -> Result<Option<LayerIndex>, ConvertError> {
        let id = self.id(made_in, diff_id);
        let Some(sealed) = self.store.layer_index(self.root, &id).await? else { return Ok(None) };
        match LayerIndex::open(&sealed, self.secret, made_in, &id) {
            Ok(index) if index.diff_id == *diff_id => Ok(Some(index)),
            Ok(index) => {
                tracing::warn!(layer_index = %id, found = %index.diff_id, "a layer index is of another layer");
                Ok(None)
            }
            Err(error) => {
                tracing::warn!(layer_index = %id, %error, "a layer index is corrupt; its layer is read again");
                Ok(None)
            }
        }
    }

    fn id(&self, made_in: RootId, diff_id: &DiffId) -> LayerIndexId {
        LayerIndexId::derive(self.secret, made_in, diff_id, &self.parameters(diff_id))
    }

    /// What shapes a layer index besides its layer: how it is cut and compressed, and its scope if that is
    /// not the tenant's own.
    fn parameters(&self, diff_id: &DiffId) -> Vec<u8> {
        let (sealing, mut bytes) = (self.sealings.of(diff_id), self.cut.to_bytes());
        match sealing.compression {
            Compression::None => bytes.push(0),
            Compression::Zstd { level } => {
                bytes.push(1);
                bytes.extend_from_slice(&level.to_le_bytes());
            }
        }
        if sealing.scope != self.sealings.own().scope {
            bytes.extend_from_slice(sealing.scope.as_bytes());
        }
        bytes
    }
}
