//! A manifest that is read while it comes: section by section, its chunks page by page.
//!
//! Invariant: what comes out is authentic and in order. A section counts only when all of it is here and has its hash;
//! one that was refused can be fetched again from [`ManifestReader::wanted_from`], as if it had never come.

use std::collections::HashMap;

use bytes::{Buf, BytesMut};

use super::check::ChunkRules;
use super::header::{Kind, Section};
use super::{Chunk, Geometry, SealedFront, chunk_page, section};
use crate::{ChunkKey, DataKey, FormatError, ManifestId};

/// Chunks that follow each other in the table, with their keys.
#[derive(Clone, PartialEq, Debug)]
pub struct ChunkPage {
    /// As many as a page has, or what is left.
    pub chunks: Vec<Chunk>,
    /// The key of each.
    pub keys: Vec<ChunkKey>,
}

/// Opens a manifest as it comes. The sections may lie in any order: a page waits for its keys, and for the
/// pages before it.
#[derive(Debug)]
pub struct ManifestReader {
    front: SealedFront,
    data_key: DataKey,
    /// The bytes that have come of sections that were not read yet.
    gathered: BytesMut,
    /// The next section's place in the section table.
    next_section: usize,
    next_page: u32,
    rules: ChunkRules,
    chunks: HashMap<u32, Vec<Chunk>>,
    keys: HashMap<u32, Vec<ChunkKey>>,
    config: Option<Vec<u8>>,
}

impl ManifestReader {
    pub(super) fn new(front: SealedFront, data_key: DataKey) -> Self {
        Self {
            rules: ChunkRules::new(front.geometry()),
            front,
            data_key,
            gathered: BytesMut::new(),
            next_section: 0,
            next_page: 0,
            chunks: HashMap::new(),
            keys: HashMap::new(),
            config: None,
        }
    }

    /// The manifest's name.
    pub fn id(&self) -> ManifestId {
        self.front.id()
    }

    /// What the manifest says of its image.
    pub fn geometry(&self) -> &Geometry {
        self.front.geometry()
    }

    /// How many chunks the image has.
    pub fn chunk_count(&self) -> usize {
        self.front.chunk_count()
    }

    /// The OCI image configuration, when it has come.
    pub fn config(&self) -> Option<&[u8]> {
        self.config.as_deref()
    }

    /// Whether every page was given.
    pub fn has_all_chunks(&self) -> bool {
        self.next_page as usize == self.front.chunk_count().div_ceil(chunk_page::CHUNKS_PER_PAGE)
    }

    /// The number of the page that comes next.
    pub fn next_page(&self) -> u32 {
        self.next_page
    }

    /// Where in the manifest the bytes begin that have to be pushed next: after those that were pushed, or,
    /// in the beginning and after an error, where a section starts.
    pub fn wanted_from(&self) -> u64 {
        let header = &self.front.header;
        let start = header.sections.get(self.next_section).map_or(header.total_len, |section| section.offset);
        start.saturating_add(self.gathered.len() as u64)
    }

    /// Takes the bytes that follow.
    pub fn push(&mut self, bytes: &[u8]) {
        self.gathered.extend_from_slice(bytes);
    }

    /// Reads what has come, up to the next page, and gives it; none if more bytes have to come first.
    ///
    /// # Errors
    /// What is wrong with the bytes. They are forgotten.
    pub fn read(&mut self) -> Result<Option<ChunkPage>, FormatError> {
        loop {
            if let Some(page) = self.page()? {
                return Ok(Some(page));
            }
            let Some(section) = self.front.header.sections.get(self.next_section).cloned() else {
                return Ok(None);
            };
            let len = usize::try_from(section.len).unwrap_or(usize::MAX);
            let Some(stored) = self.gathered.get(..len) else { return Ok(None) };
            let taken = section::verify(stored, &section).and_then(|()| self.take(&section, len));
            if let Err(error) = taken {
                self.gathered.clear();
                return Err(error);
            }
            self.gathered.advance(len);
            self.next_section += 1;
        }
    }

    /// Keeps the content of a section whose stored bytes are at the front of what was gathered.
    fn take(&mut self, section: &Section, len: usize) -> Result<(), FormatError> {
        let stored = self.gathered.get(..len).unwrap_or_default();
        let opened = || section::open(&self.front.keys(&self.data_key), section, stored);
        match section.kind {
            // The front has the geometry already.
            Kind::Geometry => {}
            Kind::ChunkPage => {
                self.chunks.insert(section.index, chunk_page::decode(stored).collect());
            }
            Kind::KeyPage => {
                let keys = section::chunk_keys_in(&opened()?).collect();
                self.keys.insert(section.index, keys);
            }
            Kind::Config => self.config = Some(section::config_in(&opened()?)?),
        }
        Ok(())
    }

    /// The next page, if it is here with its keys.
    fn page(&mut self) -> Result<Option<ChunkPage>, FormatError> {
        let Some(chunks) = self.chunks.get(&self.next_page) else { return Ok(None) };
        if !self.keys.contains_key(&self.next_page) {
            return Ok(None);
        }
        let mut rules = self.rules.clone();
        rules.check(chunks)?;
        self.rules = rules;
        let page = self.chunks.remove(&self.next_page).zip(self.keys.remove(&self.next_page));
        self.next_page += 1;
        Ok(page.map(|(chunks, keys)| ChunkPage { chunks, keys }))
    }
}
