//! The metadata area of an image: layer indexes in, EROFS bytes and the image's chunk table out.
//!
//! Invariant: the bytes depend on the layers alone. The image's UUID is derived from its layers, so that the same
//! image is the same everywhere.

use std::sync::Arc;

use frazil_format::{DiffId, Entry, StreamChunk};
use sha2::{Digest as _, Sha256};

use crate::ConvertError;
use crate::flatten::Flattener;

/// What flattening leaves of a layer's index.
#[derive(Clone, Debug)]
pub(crate) struct FlatLayer {
    pub(crate) diff_id: DiffId,
    pub(crate) stream_len: u64,
    pub(crate) chunks: Arc<Vec<StreamChunk>>,
}

/// A metadata area.
pub(crate) struct MetadataArea {
    pub(crate) bytes: Vec<u8>,
    pub(crate) inodes: u64,
}

/// Flattens layers and writes the metadata area over their streams.
pub(crate) fn build(
    layers: impl IntoIterator<Item = (DiffId, u64, Arc<Vec<Entry>>)>,
) -> Result<MetadataArea, ConvertError> {
    let mut flattener = Flattener::new();
    let mut uuid = Sha256::new_with_prefix(b"frazil image uuid v1");
    for (diff_id, stream_len, entries) in layers {
        uuid.update(diff_id.as_bytes());
        // The last place of a layer takes its entries; earlier places clone them, one at a time.
        match Arc::try_unwrap(entries) {
            Ok(entries) => flattener.layer(diff_id, stream_len, entries.into_iter())?,
            Err(shared) => flattener.layer(diff_id, stream_len, shared.iter().cloned())?,
        }
    }
    let (tree, data_blocks) = flattener.finish();
    let uuid = uuid.finalize();
    let uuid = uuid.first_chunk::<16>().copied().unwrap_or_default();
    let metadata = frazil_erofs::write(&tree, &frazil_erofs::Params { uuid, data_blocks })?;
    Ok(MetadataArea { bytes: metadata.bytes, inodes: metadata.inodes })
}
