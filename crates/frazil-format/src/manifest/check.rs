//! What must be true of a manifest, checked before it is sealed and after it is parsed.

use super::{Chunk, Geometry};
use crate::bounds::{MAX_IMAGE_LEN, MAX_LAYERS, MAX_NAME_LEN, within};
use crate::chunk_order::ChunkOrder;
use crate::{BLOCK_SIZE, FormatError};

/// Names within their bounds; metadata area and layers whole blocks, one behind the other, up to the image's end.
pub(super) fn geometry(geometry: &Geometry) -> Result<(), FormatError> {
    for (what, name) in [("tenant name", &geometry.tenant), ("image name", &geometry.name)] {
        within(what, name.len() as u64, MAX_NAME_LEN)?;
    }
    if geometry.tenant.is_empty() || geometry.name.is_empty() {
        return Err(FormatError::BadGeometry { problem: "a name is empty" });
    }
    within("number of layers", geometry.layers.len() as u64, MAX_LAYERS)?;
    if !geometry.metadata_len.is_multiple_of(BLOCK_SIZE) {
        return Err(FormatError::BadGeometry { problem: "the metadata area is not a number of blocks" });
    }
    let mut end = geometry.metadata_len;
    for (number, layer) in (0..).zip(&geometry.layers) {
        let bad = |problem| FormatError::BadLayer { number, problem };
        if !layer.len.is_multiple_of(BLOCK_SIZE) {
            return Err(bad("its length is not a number of blocks"));
        }
        if layer.offset != end {
            return Err(bad("it does not start where the one before ends"));
        }
        end = end.checked_add(layer.len).ok_or_else(|| bad("it ends behind the image"))?;
    }
    if end != geometry.image_len || end > MAX_IMAGE_LEN {
        return Err(FormatError::BadGeometry { problem: "the image does not end with its last layer" });
    }
    Ok(())
}

/// Chunks in order, and each inside the metadata area or inside one layer, so that it has one scope.
pub(super) fn chunks(geometry: &Geometry, chunks: &[Chunk]) -> Result<(), FormatError> {
    let mut order = ChunkOrder::new(geometry.image_len);
    let mut borders = geometry.layers.iter().map(|layer| layer.offset.saturating_add(layer.len));
    let mut border = geometry.metadata_len;
    for (number, chunk) in (0..).zip(chunks) {
        let end = order.check(chunk.offset, chunk.len, chunk.sealed_len)?;
        while chunk.offset >= border {
            border = borders.next().unwrap_or(u64::MAX);
        }
        if end > border {
            let (offset, problem) = (chunk.offset, "it crosses the border of a layer");
            return Err(FormatError::BadChunk { number, offset, problem });
        }
    }
    Ok(())
}
