//! What must be true of a manifest, checked before it is sealed and after it is parsed.

use std::sync::Arc;

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
#[derive(Clone, Debug)]
pub(super) struct ChunkRules {
    order: ChunkOrder,
    number: u64,
    /// Where the metadata area and each layer end, in order.
    borders: Arc<[u64]>,
    /// The index of the border that comes next.
    area: usize,
}

impl ChunkRules {
    /// The rules before the first chunk.
    pub(super) fn new(geometry: &Geometry) -> Self {
        let ends = geometry.layers.iter().map(|layer| layer.offset.saturating_add(layer.len));
        let borders = std::iter::once(geometry.metadata_len).chain(ends).collect();
        Self { order: ChunkOrder::new(geometry.image_len), number: 0, borders, area: 0 }
    }

    /// Checks the chunks that follow. Once they have refused one, the rules are of no use any more.
    pub(super) fn check(&mut self, chunks: &[Chunk]) -> Result<(), FormatError> {
        for chunk in chunks {
            let end = self.order.check(chunk.offset, chunk.len, chunk.sealed_len)?;
            while self.border() <= chunk.offset {
                self.area += 1;
            }
            if end > self.border() {
                let (number, offset, problem) =
                    (self.number, chunk.offset, "it crosses the border of a layer");
                return Err(FormatError::BadChunk { number, offset, problem });
            }
            self.number += 1;
        }
        Ok(())
    }

    /// Where the area that is being looked at ends.
    fn border(&self) -> u64 {
        self.borders.get(self.area).copied().unwrap_or(u64::MAX)
    }
}
