//! An image of one file, read chunk by chunk, over a tier that tells readers from prefetches.

use std::sync::Arc;
use std::time::Duration;

use frazil_format::{ChunkId, SealedChunk};
use frazil_mount::{ChunkIndex, Image, ImageOptions, Source};
use tokio::runtime::Runtime;

use super::mounts::runtime;
use super::patient::{PatientTier, Treatment};
use super::sample::{Built, CHUNK_LEN, Sample, file, noise};
use super::tier::TestTier;

/// Far above what anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Scene {
    pub(crate) image: Arc<Image>,
    pub(crate) tier: Arc<TestTier>,
    pub(crate) patient: Arc<PatientTier>,
    pub(crate) built: Built,
    pub(crate) runtime: Runtime,
}

/// One file of so many chunks, and no read-ahead unless it is asked for.
pub(crate) fn scene(chunks: usize, treatment: Treatment, options: ImageOptions) -> Scene {
    let built = Sample::new().with("file", file(noise(1, chunks * CHUNK_LEN))).build();
    let runtime = runtime();
    let tier = TestTier::of(&built);
    let patient = PatientTier::over(&tier, treatment);
    let image =
        Image::new(built.manifest.clone(), patient.clone(), runtime.handle().clone(), options).unwrap();
    Scene { image, tier, patient, built, runtime }
}

/// Read-ahead, and no guess, however long a fetch takes on a machine that has other things to do.
pub(crate) fn no_guesses() -> ImageOptions {
    ImageOptions { guess_from: Duration::MAX, ..ImageOptions::default() }
}

pub(crate) fn no_read_ahead() -> ImageOptions {
    ImageOptions { read_ahead_bytes: 0, ..ImageOptions::default() }
}

impl Scene {
    /// The index of the file's chunk `n`.
    pub(crate) fn index(&self, n: usize) -> ChunkIndex {
        let offset = self.offset(n);
        let of_image = self.built.manifest.chunks.iter().position(|chunk| chunk.offset == offset).unwrap();
        self.image.chunk_index(of_image).unwrap()
    }

    pub(crate) fn offset(&self, n: usize) -> u64 {
        self.built.data_at[b"file".as_slice()] + (n * CHUNK_LEN) as u64
    }

    pub(crate) fn id(&self, n: usize) -> ChunkId {
        self.image.place_of(self.index(n)).unwrap().id
    }

    pub(crate) fn sealed(&self, n: usize) -> SealedChunk {
        let id = self.id(n);
        SealedChunk::verify(&id, self.built.sealed[&id].clone()).unwrap()
    }

    pub(crate) fn indexes(&self, chunks: std::ops::Range<usize>) -> Vec<ChunkIndex> {
        chunks.map(|n| self.index(n)).collect()
    }

    /// Reads all of the file's chunk `n`, or as much of it as is said.
    #[track_caller]
    pub(crate) fn read(&self, n: usize, len: usize) {
        let offset = self.offset(n);
        let read = self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, self.image.read(offset, len)).await.expect("the read waits")
        });
        assert!(read.unwrap() == self.built.plain[offset as usize..][..len], "chunk {n}");
    }

    pub(crate) fn prefetch_all_of(&self, chunks: std::ops::Range<usize>, source: Source) {
        let handle = self.image.prefetch(self.indexes(chunks), source);
        self.runtime.block_on(async { tokio::time::timeout(PATIENCE, handle.finished()).await }).unwrap();
    }

    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, mut happens: impl FnMut() -> bool) {
        for _ in 0..2000 {
            if happens() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{what}");
    }
}
