//! The store's own access log, read back.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// What was read of the chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChunkReads {
    /// The id of each chunk that was read, once for each time, sorted.
    pub(crate) ids: Vec<String>,
    /// Bytes that came.
    pub(crate) bytes: u64,
}

/// The reads of chunks that a log tells of; each must have succeeded.
#[track_caller]
pub(crate) fn chunk_reads(log: &Path) -> ChunkReads {
    let (mut ids, mut bytes) = (Vec::new(), 0);
    for line in fs::read_to_string(log).unwrap_or_default().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let path = line["path"].as_str().unwrap();
        if line["op"] == "get" && path.contains("/chunks/") {
            assert_eq!(line["outcome"], "ok", "{line}");
            ids.push(path.rsplit('/').next().unwrap().to_owned());
            bytes += line["bytes"].as_u64().unwrap();
        }
    }
    ids.sort();
    ChunkReads { ids, bytes }
}
