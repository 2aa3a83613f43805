//! The last steps: a manifest is sealed, and a name is made to stand for it.
//!
//! Invariant: the manifest and every chunk that it names are durable before the name says so. A name that stands for
//! the very same image already is left alone.

use std::time::{SystemTime, UNIX_EPOCH};

use frazil_format::{
    Chunk, ChunkKey, DataKey, Geometry, LayerExtent, Manifest, ManifestId, RootId, StreamChunk, wrap_context,
};
use frazil_store::{ImageName, Reference, Store};

use crate::inherit::{Heir, inherit};
use crate::keys::Sealings;
use crate::metadata::FlatLayer;
use crate::standing::Stands;
use crate::{ConvertError, Keys};

/// An image that is ready to be published.
pub(crate) struct Draft {
    pub(crate) root: RootId,
    pub(crate) metadata_len: u64,
    pub(crate) metadata_chunks: Vec<StreamChunk>,
    pub(crate) layers: Vec<FlatLayer>,
    pub(crate) config: Vec<u8>,
}

/// What publishing came to.
pub(crate) struct Published {
    pub(crate) manifest: ManifestId,
    pub(crate) unchanged: bool,
}

impl Draft {
    /// The manifest: the metadata area first, then the layer streams without gaps.
    pub(crate) fn into_manifest(self, name: &ImageName, tenant: &str, sealings: &Sealings) -> Manifest {
        let (mut chunks, mut chunk_keys) = (Vec::new(), Vec::new());
        add_chunks(0, &self.metadata_chunks, &mut chunks, &mut chunk_keys);
        let mut end = self.metadata_len;
        let mut layers = Vec::new();
        for FlatLayer { diff_id, stream_len, chunks: stream_chunks } in self.layers {
            let scope = sealings.of(&diff_id).scope;
            layers.push(LayerExtent { diff_id, scope, offset: end, len: stream_len });
            add_chunks(end, &stream_chunks, &mut chunks, &mut chunk_keys);
            end = end.saturating_add(stream_len);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let geometry = Geometry {
            root: self.root,
            tenant: tenant.to_owned(),
            name: name.as_str().to_owned(),
            created_seconds: now.map_or(0, |now| now.as_secs()),
            metadata_len: self.metadata_len,
            metadata_scope: sealings.own().scope,
            image_len: end,
            layers,
        };
        Manifest { geometry, chunks, keys: chunk_keys, config: self.config }
    }
}

fn add_chunks(base: u64, stream: &[StreamChunk], chunks: &mut Vec<Chunk>, keys: &mut Vec<ChunkKey>) {
    for StreamChunk { offset, len, sealed_len, id, key } in stream.iter().cloned() {
        chunks.push(Chunk { offset: base.saturating_add(offset), len, sealed_len, id });
        keys.push(key);
    }
}

/// Seals the manifest under a fresh data key, and publishes it, unless the name stands for the same image.
pub(crate) async fn publish(
    store: &Store,
    name: &ImageName,
    manifest: &Manifest,
    stands: Option<Stands>,
    metadata: &[u8],
    keys: Keys<'_>,
) -> Result<Published, ConvertError> {
    if let Some(stands) = stands.as_ref().filter(|stands| is_same(&stands.manifest, manifest)) {
        return Ok(Published { manifest: stands.reference.manifest, unchanged: true });
    }
    let root = manifest.geometry.root;
    let data_key = DataKey::generate()?;
    let context = wrap_context(keys.tenant, name.as_str());
    let wrapped = keys.provider.wrap(keys.tenant, &data_key, &context).await?;
    let (id, sealed) = manifest.seal(&data_key, wrapped)?;
    store.put_manifest(root, &id, sealed.into()).await?;
    if let Some(old) = &stands {
        let reference = Reference { root, manifest: id };
        let heir = Heir { manifest, reference, key: data_key.profile_key(), metadata };
        if let Err(error) = inherit(store, old, &heir).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, %name, "the new image inherits no profile");
        }
    }
    store.publish(keys.tenant, name, Reference { root, manifest: id }).await?;
    Ok(Published { manifest: id, unchanged: false })
}

/// Whether two manifests are of one image; when each was made does not matter.
fn is_same(old: &Manifest, new: &Manifest) -> bool {
    let geometry = Geometry { created_seconds: new.geometry.created_seconds, ..old.geometry.clone() };
    Manifest { geometry, ..old.clone() } == *new
}
