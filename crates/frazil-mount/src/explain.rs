//! What a mount was read for: file by file, which level had its chunks, and how long its readers waited.
//!
//! The account is by block and by chunk; names come from the metadata area, which is walked when somebody asks.
//! Through the erofs face the kernel reads on behalf of programs, and once: what its page cache answers is not seen
//! here, and what it reads ahead is.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use frazil_cache::Level;
use frazil_cache::resilience::Priority;
use frazil_erofs::{BLOCK_SIZE, FileType};

use crate::ReadError;
use crate::reader::{Image, Wait, Waits};
use crate::whereabouts::each_entry;

/// Files that are told apart; the rest are only counted.
const FILES_MAX: usize = 100_000;

/// How a mount was read so far.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The metadata area.
    pub metadata: PartRead,
    /// Every file of which something was read or waited for, the longest waits first.
    pub files: Vec<FileRead>,
    /// Files beyond those.
    pub files_left_out: u64,
}

/// How one file was read. A file with several names is listed under the first of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileRead {
    /// Its path from the root of the image, without a leading slash.
    pub path: Vec<u8>,
    /// How it was read.
    pub part: PartRead,
}

/// How a run of bytes of the image was read.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PartRead {
    /// Its length, in bytes.
    pub len: u64,
    /// What of it was read, in bytes; whole blocks.
    pub read_bytes: u64,
    /// Chunks of it that something was read of.
    pub chunks: u64,
    /// How many of them each level had, in the order of [`Level::ALL`]; the last fetch counts.
    pub by_level: [u64; Level::ALL.len()],
    /// How many of them were fetched before a reader asked.
    pub prefetched: u64,
    /// The waits of its readers.
    pub waits: Wait,
}

impl Image {
    /// Explains what was read up to now. Looking at the tree reads metadata, which counts like any other read, but
    /// not in this explanation.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the metadata cannot be read, or the whole chunk table cannot be had.
    pub async fn explain(self: &Arc<Self>) -> Result<Explanation, ReadError> {
        self.complete_table().await?;
        let waits = self.account().waits();
        let metadata = self.part(0..self.geometry().metadata_len, &waits);
        let mut explanation = Explanation { metadata, files: Vec::new(), files_left_out: 0 };
        let mut seen = HashSet::new();
        each_entry(self, |entry| {
            let body = entry.inode.extents().body.clone();
            if entry.inode.file_type != FileType::Regular || body.is_empty() {
                return true;
            }
            let part = self.part(body.clone(), &waits);
            // A hard link shows the same bytes again.
            if (part.chunks > 0 || part.waits.count > 0) && seen.insert(body.start) {
                if explanation.files.len() < FILES_MAX {
                    explanation.files.push(FileRead { path: entry.path.clone(), part });
                } else {
                    explanation.files_left_out += 1;
                }
            }
            true
        })
        .await?;
        explanation.files.sort_by(|a, b| {
            let key = |file: &FileRead| (file.part.waits.total, file.part.read_bytes);
            key(b).cmp(&key(a)).then_with(|| a.path.cmp(&b.path))
        });
        Ok(explanation)
    }

    /// The account of these bytes.
    fn part(&self, bytes: Range<u64>, waits: &Waits) -> PartRead {
        let block = BLOCK_SIZE as u64;
        let mut part = PartRead { len: bytes.end.saturating_sub(bytes.start), ..PartRead::default() };
        // A file's last block is its own to the end.
        for (index, within) in self.chunks_of(bytes.start..bytes.end.next_multiple_of(block)) {
            let blocks = self.account().blocks_read(index, &within);
            if blocks == 0 {
                continue;
            }
            part.chunks += 1;
            part.read_bytes = part.read_bytes.saturating_add(blocks.saturating_mul(block));
            if let Some(provenance) = self.account().provenance(index) {
                part.by_level[provenance.level as usize] += 1;
                part.prefetched += u64::from(provenance.priority == Priority::Prefetch);
            }
        }
        part.read_bytes = part.read_bytes.min(part.len);
        let blocks = bytes.start / block..bytes.end.div_ceil(block);
        let count = blocks.end.saturating_sub(blocks.start);
        if count < waits.by_block.len() as u64 {
            blocks.filter_map(|block| waits.by_block.get(&block)).for_each(|wait| part.waits.add(wait));
        } else {
            let within = waits.by_block.iter().filter(|(block, _)| blocks.contains(block));
            within.for_each(|(_, wait)| part.waits.add(wait));
        }
        part
    }
}
