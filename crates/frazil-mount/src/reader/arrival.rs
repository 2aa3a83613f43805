//! A manifest on its way: what a mount needs is waited for, and the rest is brought while the image is read.
//!
//! Invariant: no byte of it is used before its section was verified. What breaks off, comes damaged or does
//! not come at all is asked for again, from the section that is missing, with growing waits; when nothing has
//! come within the deadline, those who wait are told, and the next reader that needs it begins anew.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::BytesMut;
use frazil_cache::host::{Catalog, HostError, ManifestBytes};
use frazil_cache::{ErrorClass, Reference};
use frazil_format::{DataKey, FormatError, ManifestReader, SealedFront};
use futures::StreamExt;
use tokio::time::{Instant, sleep, timeout};

use super::{ChunkTable, ImageError, ReadError};

/// The first wait after the rest broke off, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How often what comes damaged is asked for again before the tree is shown.
const MAX_ASKED_AGAIN: u32 = 2;

/// Why a manifest, or a part of it, is not here.
#[derive(Debug, thiserror::Error)]
pub enum ArrivalError {
    /// It could not be fetched.
    #[error(transparent)]
    Fetch(#[from] HostError),
    /// What came is not what it should be.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Its chunks contradict themselves.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// It ended too soon.
    #[error("only {came} of its {len} bytes came")]
    Short {
        /// What came, in bytes.
        came: u64,
        /// Its length, in bytes.
        len: u64,
    },
    /// Nothing came.
    #[error("nothing came of it for {0:?}")]
    Stalled(Duration),
}

impl ArrivalError {
    /// Whether another attempt may do better; what came damaged may come whole.
    fn is_passing(&self) -> bool {
        match self {
            Self::Fetch(error) => !matches!(error.class(), ErrorClass::NotFound | ErrorClass::Denied),
            Self::Format(FormatError::Damaged { .. }) | Self::Short { .. } | Self::Stalled(_) => true,
            Self::Format(_) | Self::Image(_) => false,
        }
    }
}

/// A manifest of which the front is here, and which nobody has opened.
#[derive(Debug)]
pub struct SealedArrival {
    front: SealedFront,
    /// What came behind the header.
    here: BytesMut,
    way: Way,
}

/// A manifest that is here as far as a mount needs it.
#[derive(Debug)]
pub struct Arrival {
    /// The chunks, which go on to come.
    pub table: Arc<ChunkTable>,
    /// The OCI image configuration, as JSON.
    pub config: Vec<u8>,
}

/// Where a manifest comes from, and what is on its way.
struct Way {
    catalog: Arc<dyn Catalog>,
    of: Reference,
    coming: Option<ManifestBytes>,
    deadline: Duration,
    /// How often something came damaged or cut off before the tree could be shown.
    asked_again: u32,
}

impl SealedArrival {
    /// Waits for the front of the manifest whose bytes are `coming`, from its beginning on. What is missing later is
    /// asked of the catalog; nothing is waited for longer than the deadline.
    ///
    /// # Errors
    /// [`ArrivalError`] if it does not come, or is another's.
    pub async fn begin(
        catalog: Arc<dyn Catalog>,
        of: Reference,
        coming: ManifestBytes,
        deadline: Duration,
    ) -> Result<Self, ArrivalError> {
        let mut way = Way { catalog, of, coming: Some(coming), deadline, asked_again: 0 };
        let mut here = BytesMut::new();
        loop {
            match way.next(here.len() as u64).await {
                Ok(piece) => here.extend_from_slice(&piece),
                Err(short @ ArrivalError::Short { .. }) => {
                    way.ask_again(short)?;
                    here = BytesMut::new();
                    continue;
                }
                Err(error) => return Err(error),
            }
            let bytes = here.freeze();
            match SealedFront::read(&of.manifest, &bytes) {
                Ok(Some(front)) => return Ok(Self { front, here: bytes.into(), way }),
                Ok(None) => here = bytes.into(),
                Err(damage) => {
                    way.ask_again(damage.into())?;
                    here = BytesMut::new();
                }
            }
        }
    }

    /// What the manifest begins with.
    pub fn front(&self) -> &SealedFront {
        &self.front
    }

    /// Waits until the configuration is here and the first page of chunks; the rest follows by itself, for as long as
    /// somebody has the table.
    ///
    /// # Errors
    /// [`ArrivalError`] if they do not come, if the key is another's, or if what is here is damaged.
    pub async fn open(self, data_key: DataKey) -> Result<Arrival, ArrivalError> {
        let Self { front, here, mut way } = self;
        let mut reader = front.open(data_key)?;
        let table = ChunkTable::coming(reader.geometry().clone(), reader.chunk_count(), reader.id())?;
        reader.push(here.get(reader.wanted_from() as usize..).unwrap_or_default());
        let is_begun = |reader: &ManifestReader| reader.next_page() > 0 || reader.has_all_chunks();
        let config = loop {
            match reader.read() {
                Ok(Some(page)) => {
                    table.add(page)?;
                    continue;
                }
                Ok(None) => {}
                Err(damage) => way.ask_again(damage.into())?,
            }
            match reader.config() {
                Some(config) if is_begun(&reader) => break config.to_vec(),
                _ => match way.next(reader.wanted_from()).await {
                    Ok(piece) => reader.push(&piece),
                    Err(short @ ArrivalError::Short { .. }) => way.ask_again(short)?,
                    Err(error) => return Err(error),
                },
            }
        };
        if !reader.has_all_chunks() {
            let wanted = table.wanted();
            tokio::spawn(Rest { reader, table: Arc::downgrade(&table), way }.run(wanted));
        }
        Ok(Arrival { table, config })
    }
}

impl Way {
    /// Lets what is damaged come once more, from the catalog and from where it is needed: what came first may
    /// have been another copy, or damaged on its way.
    fn ask_again(&mut self, damage: ArrivalError) -> Result<(), ArrivalError> {
        if self.asked_again >= MAX_ASKED_AGAIN {
            return Err(damage);
        }
        self.asked_again += 1;
        let error = &damage as &dyn std::error::Error;
        tracing::warn!(error, manifest = %self.of.manifest, "a manifest came damaged; asking for it again");
        self.coming = None;
        Ok(())
    }

    /// The bytes that come next, after the `came` bytes that came already.
    async fn next(&mut self, came: u64) -> Result<bytes::Bytes, ArrivalError> {
        let Self { catalog, of, coming, deadline, .. } = self;
        let stalled = |_| ArrivalError::Stalled(*deadline);
        let next = async {
            let coming = match coming {
                Some(coming) => coming,
                none => none.insert(catalog.manifest_from(of.root, &of.manifest, came).await?),
            };
            match coming.bytes.next().await {
                Some(piece) => Ok(piece?),
                None => Err(ArrivalError::Short { came, len: coming.len }),
            }
        };
        timeout(*deadline, next).await.map_err(stalled)?
    }
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").field("catalog", &self.catalog).field("of", &self.of).finish_non_exhaustive()
    }
}

/// What brings the pages that are missing.
struct Rest {
    reader: ManifestReader,
    /// The table; its users may be gone.
    table: Weak<ChunkTable>,
    way: Way,
}

impl Rest {
    async fn run(mut self, wanted: Arc<tokio::sync::Notify>) {
        while let Err(error) = self.bring().await {
            let Some(table) = self.table.upgrade() else { return };
            let (manifest, page) = (self.reader.id(), self.reader.next_page());
            tracing::debug!(error = &error as &dyn std::error::Error, %manifest, page, "no page of chunks");
            table.give_up(ReadError::Page { manifest, page, source: Arc::new(error) });
            drop(table);
            wanted.notified().await;
        }
    }

    /// Brings all that is missing, as long as something comes within the deadline.
    async fn bring(&mut self) -> Result<(), ArrivalError> {
        let (mut attempt, mut page, mut since) = (0, self.reader.next_page(), Instant::now());
        loop {
            let Err(error) = self.attempt().await else { return Ok(()) };
            self.way.coming = None;
            if self.reader.next_page() > page {
                (attempt, page, since) = (0, self.reader.next_page(), Instant::now());
            }
            let wait = FIRST_WAIT.saturating_mul(1 << attempt.min(16)).min(LONGEST_WAIT);
            if !error.is_passing() || since.elapsed() + wait >= self.way.deadline {
                return Err(error);
            }
            sleep(wait).await;
            attempt += 1;
        }
    }

    /// Takes what comes, to the end.
    async fn attempt(&mut self) -> Result<(), ArrivalError> {
        loop {
            while let Some(page) = self.reader.read()? {
                let Some(table) = self.table.upgrade() else { return Ok(()) };
                table.add(page)?;
            }
            if self.reader.has_all_chunks() || self.table.strong_count() == 0 {
                return Ok(());
            }
            let next = self.way.next(self.reader.wanted_from()).await?;
            self.reader.push(&next);
        }
    }
}
