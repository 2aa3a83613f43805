//! What every story needs: a store in a directory of its own, and chunks to put into it.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use frazil_format::{ChunkId, Compression, Payload, RootId, ScopeSecret, Sealed, Sealer};
use frazil_store::{ImageName, Reference, Store, StoreLocation, StoreOptions};

pub(crate) const ROOT: RootId = RootId::FIRST;

/// A store that is gone when the story ends.
pub(crate) struct Scene {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = store_in(directory.path()).await;
        Self { directory, store }
    }

    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(path)
    }

    pub(crate) fn chunk_file(&self, id: &ChunkId) -> PathBuf {
        chunk_file(self.directory.path(), id)
    }
}

pub(crate) async fn store_in(directory: &Path) -> Store {
    let location = StoreLocation::directory(directory).unwrap();
    Store::open_or_create(&location, &StoreOptions::default()).await.unwrap()
}

pub(crate) fn chunk_file(store: &Path, id: &ChunkId) -> PathBuf {
    let id = id.to_string();
    store.join(format!("roots/00000001/chunks/{}/{id}", &id[..2]))
}

/// A sealed chunk of so many bytes; another one for every seed.
pub(crate) fn sealed(len: usize, seed: u8) -> Sealed {
    let bytes: Vec<u8> = (0..len).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect();
    let sealer = Sealer::new(&ScopeSecret::from_bytes([1; 32]), ROOT);
    sealer.seal(&Payload::compress(&bytes, Compression::None)).unwrap()
}

/// Puts a manifest and publishes it. The store knows manifests as bytes.
pub(crate) async fn publish(store: &Store, name: &str, content: &'static [u8]) -> Reference {
    let manifest = ChunkId::of(content).to_string().parse().unwrap();
    store.put_manifest(ROOT, &manifest, Bytes::from_static(content)).await.unwrap();
    let reference = Reference { root: ROOT, manifest };
    store.publish("default", &image(name), reference).await.unwrap();
    reference
}

pub(crate) fn image(name: &str) -> ImageName {
    name.parse().unwrap()
}

/// Every file below a directory, by its path from there, sorted.
pub(crate) fn files(directory: &Path) -> Vec<String> {
    fn walk(directory: &Path, base: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, base, found);
            } else {
                found.push(path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    walk(directory, directory, &mut found);
    found.sort();
    found
}
