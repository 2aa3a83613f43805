//! One opened image: its chunks and keys, the tier they come from, and what was decoded lately.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use frazil_cache::Tier;
use frazil_format::{Geometry, Manifest, RootId};
use futures::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::chunk_table::ChunkTable;
use super::complaints::Complaints;
use super::counters::Tally;
use super::decoded::Decoded;
use super::flights::Flights;
use super::touches::Touches;
use super::{AddressSpace, Counters, ImageError, ReadError, TouchListener};
use crate::whereabouts;

/// How an image is read.
#[derive(Clone)]
pub struct ImageOptions {
    /// Memory for decoded chunks, in bytes. Too little: a chunk that is read in several requests is decoded
    /// several times.
    pub decoded_budget_bytes: u64,
    /// How long a read waits for one chunk before it fails with EIO.
    pub deadline: Duration,
    /// The root where the chunks lie, as the image's reference says; the root that the image was converted in if
    /// nothing is said.
    pub root: Option<RootId>,
    /// Told of every first touch of a chunk.
    pub touch_listener: Option<Arc<dyn TouchListener>>,
}

impl Default for ImageOptions {
    /// 32 MiB (the largest chunk is 2 MiB; two cores times a handful of streams), one minute, the root of the
    /// conversion, nobody told.
    fn default() -> Self {
        Self {
            decoded_budget_bytes: 32 << 20,
            deadline: Duration::from_secs(60),
            root: None,
            touch_listener: None,
        }
    }
}

/// An image that can be read at any offset.
pub struct Image {
    pub(super) geometry: Geometry,
    pub(super) root: RootId,
    pub(super) table: ChunkTable,
    pub(super) tier: Arc<dyn Tier>,
    pub(super) runtime: Handle,
    pub(super) deadline: Duration,
    pub(super) decoded: Decoded,
    pub(super) flights: Flights,
    pub(super) touches: Touches,
    pub(super) tally: Tally,
    /// Opening a chunk takes a core; more of them at once than cores only adds memory.
    pub(super) cores: Semaphore,
    complaints: Complaints,
}

impl Image {
    /// Opens an image whose sealed chunks come from `tier`; fetching and opening run on `runtime`.
    ///
    /// # Errors
    ///
    /// [`ImageError`] if the manifest's chunk table contradicts itself.
    pub fn new(
        manifest: Manifest,
        tier: Arc<dyn Tier>,
        runtime: Handle,
        options: ImageOptions,
    ) -> Result<Arc<Self>, ImageError> {
        let geometry = manifest.geometry.clone();
        let table = ChunkTable::new(manifest)?;
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(Arc::new(Self {
            root: options.root.unwrap_or(geometry.root),
            geometry,
            touches: Touches::new(table.len(), options.touch_listener),
            table,
            tier,
            runtime,
            deadline: options.deadline,
            decoded: Decoded::new(options.decoded_budget_bytes),
            flights: Flights::default(),
            tally: Tally::default(),
            cores: Semaphore::new(cores),
            complaints: Complaints::default(),
        }))
    }

    /// What the manifest says of the image in the clear.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The length of the image in bytes.
    pub fn len(&self) -> u64 {
        self.table.image_len()
    }

    /// Whether the image has no byte at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was read so far.
    pub fn counters(&self) -> Counters {
        self.tally.snapshot(self.touches.count(), self.table.len() as u64)
    }

    /// Where the image's work runs.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Logs a failed read of the byte at `offset`, with the file that lies there, unless the same chunk was
    /// complained of just now. Returns at once.
    pub(crate) fn complain(self: Arc<Self>, error: ReadError, offset: u64) {
        let chunk = error.chunk().map(|(chunk, _)| chunk);
        let Some(left_out) = self.complaints.admit(chunk) else { return };
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            let file = whereabouts::file_at(&self, offset).await;
            let file = file.as_deref().unwrap_or("(unknown)");
            let causes = causes(&error);
            let image = &self.geometry.name;
            match chunk {
                Some(chunk) => {
                    tracing::error!(image, %chunk, offset, file, left_out, "cannot read {file}: {causes}");
                }
                None => tracing::error!(image, offset, file, left_out, "cannot read {file}: {causes}"),
            }
        });
    }
}

/// An error and what caused it, in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}

impl AddressSpace for Image {
    fn len(&self) -> u64 {
        Self::len(self)
    }

    fn try_read(&self, offset: u64, len: usize, sink: &mut dyn FnMut(&[u8])) -> bool {
        self.try_with(offset, len, sink).is_some()
    }

    fn read(self: Arc<Self>, offset: u64, len: usize) -> BoxFuture<'static, Result<Bytes, ReadError>> {
        Box::pin(async move { Self::read(&self, offset, len).await })
    }

    fn failed(self: Arc<Self>, offset: u64, error: ReadError) {
        self.complain(error, offset);
    }
}

impl fmt::Debug for Image {
    /// Names the image; its keys are nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("name", &self.geometry.name)
            .field("tier", &self.tier)
            .finish_non_exhaustive()
    }
}
