//! foyer's block engine on files, buffered, with hardly any memory before it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use foyer::{
    BlockEngineConfig, DeviceBuilder, FsDeviceBuilder, HybridCache, HybridCacheBuilder, PsyncIoEngineConfig,
    RecoverMode,
};
use frazil_format::SealedChunk;

use super::chunks::Chunks;
use super::{Contender, Found};

/// The peer.
pub(crate) struct Foyer {
    cache: HybridCache<u64, Bytes>,
    chunks: Arc<Chunks>,
}

impl Contender for Foyer {
    const NAME: &'static str = "foyer";

    async fn open(directory: &Path, quota_bytes: usize, chunks: Arc<Chunks>) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let device = FsDeviceBuilder::new(directory).with_capacity(quota_bytes).build()?;
        let cache = HybridCacheBuilder::new()
            .memory(1 << 20)
            .with_shards(1)
            .with_weighter(|_, value: &Bytes| value.len())
            .storage()
            .with_io_engine_config(PsyncIoEngineConfig::new())
            .with_engine_config(BlockEngineConfig::new(device).with_buffer_pool_size(64 << 20))
            .with_recover_mode(RecoverMode::Quiet)
            .build()
            .await?;
        Ok(Self { cache, chunks })
    }

    async fn put(&self, number: usize) -> anyhow::Result<()> {
        let wanted = self.chunks.wanted(number).context("a chunk")?;
        let chunk = self.chunks.make(&wanted.id).context("a chunk")?;
        self.cache.storage_writer(number as u64).force().insert(chunk.into_bytes());
        Ok(())
    }

    async fn settle(&self) {
        self.cache.storage().wait().await;
    }

    async fn get(&self, number: usize) -> Found {
        let Some(wanted) = self.chunks.wanted(number) else { return Found::Absent };
        match self.cache.get(&(number as u64)).await {
            Ok(Some(entry)) => match SealedChunk::verify(&wanted.id, entry.value().clone()) {
                Ok(_) => Found::Right,
                Err(_) => Found::Wrong,
            },
            _ => Found::Absent,
        }
    }

    async fn close(self) -> anyhow::Result<()> {
        self.cache.close().await?;
        Ok(())
    }
}
