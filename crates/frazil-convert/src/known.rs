//! Layers that the store knows already: their indexes, before any byte of their source is touched.
//!
//! Invariant: an index that is found was made by this tenant, for this layer, scope, root and way of cutting, and its
//! chunks are in the store. One that cannot be opened counts as unknown, so that its layer is read again.
//!
//! Every index is sealed with the tenant's own secret, also those of layers in the shared scope: everybody who
//! converts has that scope's secret, and could write an index that names bytes of his own for a layer of everybody's.
//! So a tenant reads a public layer once itself; its chunks are the same, and are there already.

use std::collections::{HashMap, HashSet};

use frazil_format::{Compression, DiffId, LayerIndex, LayerIndexId, RootId, ScopeSecret};
use frazil_store::Store;
use futures::{StreamExt, TryStreamExt, stream};

use crate::ingest::Limits;
use crate::keys::Sealings;
use crate::source::LayerDescriptor;
use crate::{ConvertError, CutParameters};

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
}

impl LayerIndexes<'_> {
    /// The indexes of those of the layers that have one, each charged once as it comes.
    pub(crate) async fn look_up(
        &self,
        layers: &[LayerDescriptor],
        limits: &Limits,
    ) -> Result<HashMap<DiffId, LayerIndex>, ConvertError> {
        let distinct: HashSet<DiffId> = layers.iter().map(|layer| layer.diff_id).collect();
        let lookups = distinct.into_iter().map(|diff_id| async move {
            let index = self.find(&diff_id).await?;
            if let Some(index) = &index {
                limits.stream.take(index.stream_len)?;
                limits.entries(&index.entries)?;
            }
            Ok::<_, ConvertError>(index.map(|index| (diff_id, index)))
        });
        let found: Vec<_> = stream::iter(lookups).buffer_unordered(CONCURRENT_LOOKUPS).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Keeps a layer's index; its chunks were put.
    pub(crate) async fn keep(&self, index: &LayerIndex) -> Result<(), ConvertError> {
        let id = self.id(&index.diff_id);
        let sealed = index.seal(self.secret, self.root, &id)?;
        // The store passes its durability barrier before it writes an index, so that none outlives its chunks.
        self.store.put_layer_index(self.root, &id, sealed.into()).await?;
        Ok(())
    }

    async fn find(&self, diff_id: &DiffId) -> Result<Option<LayerIndex>, ConvertError> {
        let id = self.id(diff_id);
        let Some(sealed) = self.store.layer_index(self.root, &id).await? else { return Ok(None) };
        match LayerIndex::open(&sealed, self.secret, self.root, &id) {
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

    fn id(&self, diff_id: &DiffId) -> LayerIndexId {
        LayerIndexId::derive(self.secret, self.root, diff_id, &self.parameters(diff_id))
    }

    /// What shapes a layer index besides its layer: how it is cut and compressed, and the scope if it is not the
    /// tenant's own.
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
