//! The origin, on a directory store.

use crate::stages::{Scratch, scratch};
use std::path::PathBuf;
use std::sync::Arc;

use frazil_cache::conformance::{self, Damage, Recovery, Sample, Stage};
use frazil_cache::{ErrorClass, Origin, Tier, Wanted};
use frazil_format::{ChunkId, RootId};
use frazil_store::{Store, StoreLocation, StoreOptions};

/// A directory store that is damaged on the disk.
pub(crate) struct OnDisk {
    directory: Scratch,
    store: Store,
}

impl OnDisk {
    pub(crate) async fn with(samples: &[Sample]) -> Self {
        let directory = scratch();
        let location = StoreLocation::directory(directory.path()).unwrap();
        let store = Store::open_or_create(&location, &StoreOptions::default()).await.unwrap();
        for Sample { wanted, chunk } in samples {
            store.put_chunk(wanted.root, &wanted.id, chunk).await.unwrap();
        }
        Self { directory, store }
    }

    fn file(&self, wanted: &Wanted) -> PathBuf {
        let id = wanted.id.to_string();
        self.directory.path().join(format!("roots/{}/chunks/{}/{id}", wanted.root, &id[..2]))
    }
}

impl Stage for OnDisk {
    fn tier(&self) -> Arc<dyn Tier> {
        Arc::new(Origin::new(self.store.clone()))
    }

    fn damage(&self, sample: &Sample, damage: &Damage) {
        let file = self.file(&sample.wanted);
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, damage.of(&bytes)).unwrap();
    }

    fn repair(&self, sample: &Sample) {
        std::fs::write(self.file(&sample.wanted), sample.chunk.bytes()).unwrap();
    }

    fn recovery(&self) -> Recovery {
        Recovery::Refuses
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_origin_keeps_the_laws_of_a_tier() {
    conformance::run(OnDisk::with).await;
}

#[tokio::test]
async fn the_origin_prints_where_it_is() {
    let stage = OnDisk::with(&[]).await;
    let path = stage.directory.path().display().to_string();
    assert_eq!(stage.tier().to_string(), format!("origin(file://{path})"));
}

#[tokio::test]
async fn a_chunk_file_of_absurd_size_is_refused_and_not_read() {
    let stage = OnDisk::with(&[]).await;
    let wanted = Wanted { root: RootId::FIRST, id: ChunkId::of(b"anything"), sealed_len: 100 };
    let file = stage.file(&wanted);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    // Sparse: were it read, this test would need a terabyte of memory.
    std::fs::File::create(&file).unwrap().set_len(1 << 40).unwrap();
    let error = stage.tier().get(&wanted).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Corrupt, "{error}");
}
