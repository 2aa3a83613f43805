//! What lies beside a manifest: replaced, read by range, and gone when it is dropped.

use bytes::Bytes;
use frazil_format::{BundleId, ManifestId};
use frazil_store::{Store, StoreError};
use futures::TryStreamExt;

use crate::scene::{ROOT, Scene, files};

fn bytes_of(len: usize, seed: u8) -> Bytes {
    (0..len).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect::<Vec<_>>().into()
}

async fn read(store: &Store, manifest: &ManifestId, id: &BundleId, range: std::ops::Range<u64>) -> Vec<u8> {
    let pieces = store.bundle(ROOT, manifest, id, range).await.unwrap();
    pieces.try_collect::<Vec<Bytes>>().await.unwrap().concat()
}

/// What any store does with them.
pub(crate) async fn are_kept_and_dropped(store: &Store) {
    let manifest = ManifestId::from_bytes([7; 32]);
    assert_eq!(store.profiles(ROOT, &manifest).await.unwrap(), None);
    for seed in [1, 2] {
        store.put_profiles(ROOT, &manifest, bytes_of(4096, seed)).await.unwrap();
        assert_eq!(store.profiles(ROOT, &manifest).await.unwrap(), Some(bytes_of(4096, seed)));
    }
    // A short bundle is one put, a long one is many parts.
    for (seed, len) in [(3, 1 << 20), (4, 19 << 20)] {
        let (id, whole) = (BundleId::from_bytes([seed; 32]), bytes_of(len, seed));
        let mut writer = store.write_bundle(ROOT, &manifest, &id);
        for segment in whole.chunks(256 << 10) {
            writer.write(Bytes::copy_from_slice(segment)).await.unwrap();
        }
        writer.finish().await.unwrap();
        let middle = 300_000..900_000;
        assert_eq!(read(store, &manifest, &id, 300_000..900_000).await, whole[middle]);
        assert_eq!(read(store, &manifest, &id, 0..len as u64).await, whole);
    }
    assert_eq!(store.bundles(ROOT, &manifest).await.unwrap().len(), 2);
    let absent = BundleId::from_bytes([9; 32]);
    let missing = store.bundle(ROOT, &manifest, &absent, 0..10).await.map(|_| ());
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    assert!(store.drop_profiles(ROOT, &manifest).await.unwrap());
    assert_eq!(store.profiles(ROOT, &manifest).await.unwrap(), None);
    assert!(store.bundles(ROOT, &manifest).await.unwrap().is_empty());
    assert!(!store.drop_profiles(ROOT, &manifest).await.unwrap());
}

#[tokio::test]
async fn profiles_and_bundles_are_kept_beside_their_manifest_and_dropped_with_each_other() {
    let scene = Scene::new().await;
    are_kept_and_dropped(&scene.store).await;
    let left = files(scene.directory.path());
    assert_eq!(left, ["frazil.json", "roots/00000001/state.json"], "nothing else is left");
}

#[tokio::test]
async fn a_bundle_that_is_given_up_is_not_there() {
    let scene = Scene::new().await;
    let (manifest, id) = (ManifestId::from_bytes([7; 32]), BundleId::from_bytes([1; 32]));
    let mut writer = scene.store.write_bundle(ROOT, &manifest, &id);
    for _ in 0..10 {
        writer.write(bytes_of(1 << 20, 1)).await.unwrap();
    }
    drop(writer);
    assert!(scene.store.bundles(ROOT, &manifest).await.unwrap().is_empty());
    assert!(scene.store.bundle(ROOT, &manifest, &id, 0..10).await.is_err());
}
