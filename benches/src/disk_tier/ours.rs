//! The disk tier of the product, over a tier that makes chunks, or has none.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use frazil_cache::{Disk, DiskOptions, Served, Tier, TierError, Wanted};

use super::chunks::Chunks;
use super::{Contender, Found};

/// The product's tier.
pub(crate) struct Ours {
    disk: Disk,
    below: Arc<Maker>,
}

/// Makes chunks while it may.
struct Maker {
    chunks: Arc<Chunks>,
    may_make: AtomicBool,
}

#[async_trait::async_trait]
impl Tier for Maker {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let made = self.may_make.load(Ordering::Relaxed).then(|| self.chunks.make(&wanted.id));
        made.flatten().map(Served::by_origin).ok_or(TierError::NotFound {
            id: wanted.id,
            root: wanted.root,
            tier: self.to_string(),
        })
    }
}

impl fmt::Debug for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Maker")
    }
}

impl fmt::Display for Maker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("maker")
    }
}

impl Contender for Ours {
    const NAME: &'static str = "frazil";

    async fn open(directory: &Path, quota_bytes: usize, chunks: Arc<Chunks>) -> anyhow::Result<Self> {
        let below = Arc::new(Maker { chunks, may_make: AtomicBool::new(false) });
        let options = DiskOptions::new(directory, quota_bytes as u64);
        Ok(Self { disk: Disk::new(Arc::clone(&below) as Arc<dyn Tier>, options), below })
    }

    async fn put(&self, number: usize) -> anyhow::Result<()> {
        self.below.may_make.store(true, Ordering::Relaxed);
        self.disk.get(self.below.chunks.wanted(number).context("a chunk")?).await?;
        self.below.may_make.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn settle(&self) {
        self.disk.settle(Duration::from_secs(600)).await;
    }

    async fn get(&self, number: usize) -> Found {
        let Some(wanted) = self.below.chunks.wanted(number) else { return Found::Absent };
        match self.disk.get(wanted).await {
            // The tier verifies; wrong bytes do not come out of it.
            Ok(_) => Found::Right,
            Err(_) => Found::Absent,
        }
    }

    async fn close(self) -> anyhow::Result<()> {
        self.settle().await;
        let counts = self.disk.counts();
        anyhow::ensure!(counts.quarantined == 0 && counts.bypassed == 0, "trouble: {counts:?}");
        Ok(())
    }
}
