//! Every chunk of a manifest: there, the one that its id names, opened by its key, of the promised length.

use std::collections::HashMap;
use std::fmt::Display;

use frazil_format::{Chunk, ChunkId, ChunkKey, Manifest, SealedChunk, open_chunk};
use futures::{StreamExt, stream};

/// Chunks that are fetched at once.
const CONCURRENT_FETCHES: usize = 16;
/// Faults that are told one by one; the others are only counted.
const MAX_FAULTS: usize = 1000;

/// What the chunks of an image are like.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ChunkReport {
    /// Distinct chunks that were looked at.
    pub chunks: u64,
    /// Their sealed bytes.
    pub sealed_bytes: u64,
    /// How many are not as they should be.
    pub faulty: u64,
    /// What is wrong with the first thousand of them, by their offset.
    pub faults: Vec<ChunkFault>,
}

/// A chunk that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ChunkFault {
    /// Where in the image it is needed first, in bytes.
    pub offset: u64,
    /// The chunk.
    pub id: ChunkId,
    /// What is wrong with it.
    pub reason: String,
}

/// Fetches every chunk of an image once, and verifies and opens it.
pub async fn chunks<F, Fetched, E>(manifest: &Manifest, fetch: F) -> ChunkReport
where
    F: Fn(Chunk) -> Fetched,
    Fetched: Future<Output = Result<SealedChunk, E>>,
    E: Display,
{
    // One chunk may be needed at many places with one key; it is looked at once for each key and length.
    let mut distinct: HashMap<(ChunkId, u32), (Chunk, &ChunkKey)> = HashMap::new();
    for (chunk, key) in manifest.chunks.iter().zip(&manifest.keys) {
        distinct.entry((chunk.id, chunk.len)).or_insert((*chunk, key));
    }
    let mut report = ChunkReport::default();
    let mut checks = stream::iter(distinct.into_values())
        .map(|(chunk, key)| {
            let fetched = fetch(chunk);
            async move { (chunk, check(chunk, key, fetched.await)) }
        })
        .buffer_unordered(CONCURRENT_FETCHES);
    while let Some((chunk, checked)) = checks.next().await {
        report.chunks += 1;
        match checked {
            Ok(sealed_len) => report.sealed_bytes += sealed_len,
            Err(reason) => {
                report.faulty += 1;
                if report.faults.len() < MAX_FAULTS {
                    report.faults.push(ChunkFault { offset: chunk.offset, id: chunk.id, reason });
                }
            }
        }
    }
    report.faults.sort_by_key(|fault| fault.offset);
    report
}

fn check<E: Display>(chunk: Chunk, key: &ChunkKey, fetched: Result<SealedChunk, E>) -> Result<u64, String> {
    let sealed = fetched.map_err(|error| error.to_string())?;
    // The fetcher may have verified it already; this is the check that counts.
    let sealed = SealedChunk::verify(&chunk.id, sealed.into_bytes()).map_err(|error| error.to_string())?;
    if sealed.len() as u64 != u64::from(chunk.sealed_len) {
        return Err(format!("it has {} sealed bytes instead of {}", sealed.len(), chunk.sealed_len));
    }
    open_chunk(&sealed, key, chunk.len).map_err(|error| error.to_string())?;
    Ok(sealed.len() as u64)
}
