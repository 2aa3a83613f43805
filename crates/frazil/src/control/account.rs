//! What an agent says of itself: the documents of `frazil explain` and `frazil stats DIR`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use frazil_cache::Level;
use frazil_cache::host::MeterCounts;
use frazil_mount::profile::Profiling;
use frazil_mount::{FileRead, Image, PartRead, PrefetchCounts, Source, Wait};
use serde::{Deserialize, Serialize};

/// The mount that is asked about.
pub(crate) struct Subject {
    pub(crate) image: Arc<Image>,
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) face: String,
    pub(crate) mounted: Instant,
    /// How its start is recorded.
    pub(crate) profiling: Option<Profiling>,
}

/// What an agent counted.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct AgentStats {
    pub(crate) pid: u32,
    pub(crate) image: String,
    pub(crate) directory: PathBuf,
    /// `tree` or `erofs`.
    pub(crate) face: String,
    pub(crate) uptime_s: u64,
    pub(crate) chunks_total: u64,
    pub(crate) chunks_touched: u64,
    /// What was read of the image: whole blocks, each once.
    pub(crate) read_bytes: u64,
    /// Sealed chunks asked of the tiers.
    pub(crate) requests: u64,
    /// The sealed bytes that they gave.
    pub(crate) fetched_bytes: u64,
    /// The bytes of these chunks after opening; a chunk that was opened twice counts twice.
    pub(crate) decoded_bytes: u64,
    /// Reads that found their chunk decoded.
    pub(crate) hits: u64,
    /// Chunks that could not be fetched or opened.
    pub(crate) errors: u64,
    pub(crate) waits: Waited,
    /// By the level that had the chunks, the nearest first.
    pub(crate) levels: Vec<(String, MeterCounts)>,
    pub(crate) prefetch: Vec<Prefetched>,
}

/// How long readers waited.
#[derive(Serialize, Deserialize, Clone, Copy, Default, Debug)]
pub(crate) struct Waited {
    pub(crate) count: u64,
    pub(crate) total_us: u64,
    pub(crate) longest_us: u64,
}

/// What was fetched ahead for one reason.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Prefetched {
    pub(crate) source: String,
    pub(crate) fetched_chunks: u64,
    pub(crate) fetched_bytes: u64,
    pub(crate) used_chunks: u64,
    pub(crate) used_bytes: u64,
    pub(crate) evicted_chunks: u64,
    pub(crate) failed_chunks: u64,
}

/// What a mount was read for.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Explained {
    #[serde(flatten)]
    pub(crate) agent: AgentStats,
    pub(crate) metadata: Part,
    /// The longest waits first.
    pub(crate) files: Vec<File>,
    pub(crate) files_left_out: u64,
}

/// One file.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct File {
    /// From the root of the image; bytes that are no UTF-8 are replaced.
    pub(crate) path: String,
    #[serde(flatten)]
    pub(crate) part: Part,
}

/// A part of the image.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Part {
    pub(crate) bytes: u64,
    pub(crate) read_bytes: u64,
    pub(crate) chunks: u64,
    /// How many of them came from which level.
    pub(crate) from: Vec<(String, u64)>,
    /// How many of them came before a reader asked.
    pub(crate) prefetched: u64,
    pub(crate) waits: Waited,
}

impl Subject {
    pub(super) fn stats(&self) -> AgentStats {
        let counters = self.image.counters();
        let levels = self.image.levels().into_iter().map(|(level, counts)| (level.to_string(), counts));
        AgentStats {
            pid: std::process::id(),
            image: self.name.clone(),
            directory: self.directory.clone(),
            face: self.face.clone(),
            uptime_s: self.mounted.elapsed().as_secs(),
            chunks_total: counters.chunks_total,
            chunks_touched: counters.chunks_touched,
            read_bytes: self.image.read_bytes(),
            requests: counters.requests,
            fetched_bytes: counters.sealed_bytes,
            decoded_bytes: counters.decoded_bytes,
            hits: counters.cache_hits,
            errors: counters.errors,
            waits: self.image.waits().into(),
            levels: levels.collect(),
            prefetch: Source::ALL.map(|source| prefetched(source, &self.image)).into(),
        }
    }

    pub(super) async fn explain(&self) -> Result<Explained, String> {
        // Before the tree is looked at, which counts as reading it.
        let agent = self.stats();
        let explanation = self.image.explain().await.map_err(|error| error.to_string())?;
        let file = |FileRead { path, part }: FileRead| File {
            path: format!("/{}", String::from_utf8_lossy(&path)),
            part: part.into(),
        };
        Ok(Explained {
            agent,
            metadata: explanation.metadata.into(),
            files: explanation.files.into_iter().map(file).collect(),
            files_left_out: explanation.files_left_out,
        })
    }
}

fn prefetched(source: Source, image: &Image) -> Prefetched {
    let PrefetchCounts {
        fetched_chunks,
        fetched_bytes,
        used_chunks,
        used_bytes,
        evicted_chunks,
        failed_chunks,
        ..
    } = image.prefetch_counts(source);
    let source = source.word().to_owned();
    Prefetched {
        source,
        fetched_chunks,
        fetched_bytes,
        used_chunks,
        used_bytes,
        evicted_chunks,
        failed_chunks,
    }
}

impl From<Wait> for Waited {
    fn from(wait: Wait) -> Self {
        let us = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self { count: wait.count, total_us: us(wait.total), longest_us: us(wait.longest) }
    }
}

impl From<PartRead> for Part {
    fn from(part: PartRead) -> Self {
        let from = Level::ALL.iter().zip(part.by_level).filter(|(_, chunks)| *chunks > 0);
        Self {
            bytes: part.len,
            read_bytes: part.read_bytes,
            chunks: part.chunks,
            from: from.map(|(level, chunks)| (level.to_string(), chunks)).collect(),
            prefetched: part.prefetched,
            waits: part.waits.into(),
        }
    }
}
