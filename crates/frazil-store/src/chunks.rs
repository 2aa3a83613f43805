//! Sealed chunks in a store: put if absent, and never believed when they come back.

use bytes::Bytes;
use frazil_format::{ChunkId, MAX_SEALED_LEN, RootId, SealedChunk};

use crate::objects::{Durability, Put};
use crate::roots::alarm::Access;
use crate::{Store, StoreError, layout};

impl Store {
    /// Writes a sealed chunk, unless it is there. It is durable after the next [`Store::sync`], whoever wrote it.
    pub async fn put_chunk(
        &self,
        root: RootId,
        id: &ChunkId,
        chunk: &SealedChunk,
    ) -> Result<Put, StoreError> {
        debug_assert_eq!(ChunkId::of(chunk.bytes()), *id, "a chunk is put under its own id");
        let path = layout::chunk(root, id);
        self.objects().put_if_absent(&path, chunk.bytes().clone()).await
    }

    /// Writes a sealed chunk over whatever lies under its name, because that is known to be damaged.
    pub async fn replace_chunk(
        &self,
        root: RootId,
        id: &ChunkId,
        chunk: &SealedChunk,
    ) -> Result<(), StoreError> {
        debug_assert_eq!(ChunkId::of(chunk.bytes()), *id, "a chunk is put under its own id");
        self.objects().put(&layout::chunk(root, id), chunk.bytes().clone(), Durability::AtBarrier).await
    }

    /// Reads a sealed chunk, and verifies it. Asks once: the caller decides whether, and when, to ask again.
    pub async fn get_chunk(&self, root: RootId, id: &ChunkId) -> Result<SealedChunk, StoreError> {
        let path = layout::chunk(root, id);
        let read = self.objects().read_once(&path, MAX_SEALED_LEN.into());
        verify(root, id, self.noticed(root, Access::Chunk, read).await)
    }

    /// Reads a sealed chunk, and verifies it, for a caller that has nobody above who would ask again: a store over a
    /// network is asked a few times.
    pub async fn get_chunk_patiently(&self, root: RootId, id: &ChunkId) -> Result<SealedChunk, StoreError> {
        let path = layout::chunk(root, id);
        let read = self.objects().read(&path, MAX_SEALED_LEN.into());
        verify(root, id, self.noticed(root, Access::Chunk, read).await)
    }

    /// The length in bytes of what lies under a chunk's name; `None` if nothing does. Nothing is verified.
    pub async fn contains_chunk(&self, root: RootId, id: &ChunkId) -> Result<Option<u64>, StoreError> {
        self.objects().len(&layout::chunk(root, id)).await
    }
}

/// The chunk, if that is what was read under its name.
pub(crate) fn verify(
    root: RootId,
    id: &ChunkId,
    read: Result<Bytes, StoreError>,
) -> Result<SealedChunk, StoreError> {
    let bytes = match read {
        Err(StoreError::NotFound { .. }) => return Err(StoreError::ChunkNotFound { root, id: *id }),
        read => read?,
    };
    SealedChunk::verify(id, bytes).map_err(|source| StoreError::CorruptChunk { root, id: *id, source })
}
