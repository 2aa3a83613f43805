//! A tier below another: chunks from a map, every question counted.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use async_trait::async_trait;
use bytes::Bytes;
use frazil_cache::{Served, Tier, TierError, Wanted};
use frazil_format::{ChunkId, RootId, SealedChunk};

/// What has every chunk that it was made with, or, switched off, waits for ever.
#[derive(Clone, Debug)]
pub(crate) struct Below(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    chunks: HashMap<ChunkId, SealedChunk>,
    gets: AtomicU64,
    is_on: tokio::sync::watch::Sender<bool>,
}

impl Below {
    pub(crate) fn with(chunks: impl IntoIterator<Item = (Wanted, SealedChunk)>) -> Self {
        let chunks = chunks.into_iter().map(|(wanted, chunk)| (wanted.id, chunk)).collect();
        Self(Arc::new(Inner {
            chunks,
            gets: AtomicU64::new(0),
            is_on: tokio::sync::watch::Sender::new(true),
        }))
    }

    pub(crate) fn gets(&self) -> u64 {
        self.0.gets.load(SeqCst)
    }

    pub(crate) fn switch_off(&self) {
        self.0.is_on.send_replace(false);
    }

    pub(crate) fn switch_on(&self) {
        self.0.is_on.send_replace(true);
    }
}

#[async_trait]
impl Tier for Below {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let Wanted { root, id, sealed_len } = *wanted;
        self.0.gets.fetch_add(1, SeqCst);
        self.0.is_on.subscribe().wait_for(|is_on| *is_on).await.unwrap();
        let tier = self.to_string();
        let chunk = self.0.chunks.get(&id).cloned();
        let chunk = chunk.ok_or_else(|| TierError::NotFound { id, root, tier: tier.clone() })?;
        let (len, expected) = (chunk.len() as u64, u64::from(sealed_len));
        if len == expected {
            Ok(Served::by_origin(chunk))
        } else {
            Err(TierError::WrongLength { id, tier, len, expected })
        }
    }
}

impl fmt::Display for Below {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("below")
    }
}

/// So many chunks of about so many bytes, each another.
pub(crate) fn chunks(count: usize, len: usize) -> Vec<(Wanted, SealedChunk)> {
    (0..count)
        .map(|number| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&number.to_le_bytes());
            let mut bytes = vec![0; len + number % 7];
            hasher.finalize_xof().fill(&mut bytes);
            let id = ChunkId::of(&bytes);
            let sealed_len = bytes.len() as u32;
            let chunk = SealedChunk::verify(&id, Bytes::from(bytes)).unwrap();
            (Wanted { root: RootId::FIRST, id, sealed_len }, chunk)
        })
        .collect()
}
