//! What lies beside a manifest: replaced, read by range, and gone when it is dropped.

use bytes::Bytes;
use frazil_format::{BundleId, ManifestId};
use frazil_store::{BUNDLE_HEAD_LEN, BundleHead, HeadStart, Store, StoreError};
use futures::TryStreamExt;

use crate::scene::{ROOT, Scene, files};

fn bytes_of(len: usize, seed: u8) -> Bytes {
    (0..len).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect::<Vec<_>>().into()
}

async fn read(store: &Store, manifest: &ManifestId, id: &BundleId, range: std::ops::Range<u64>) -> Vec<u8> {
    let pieces = store.bundle(ROOT, manifest, id, range).await.unwrap();
    pieces.try_collect::<Vec<Bytes>>().await.unwrap().concat()
}

type Head = (BundleId, u64, Vec<u8>);

async fn head_start(store: &Store, manifest: &ManifestId) -> Option<(Bytes, Option<Head>)> {
    let HeadStart { profiles, head } = store.head_start(ROOT, manifest).await.unwrap()?;
    let Some(BundleHead { id, bundle_len, bytes }) = head else { return Some((profiles, None)) };
    Some((profiles, Some((id, bundle_len, bytes.try_collect::<Vec<Bytes>>().await.unwrap().concat()))))
}

/// What any store does with them.
pub(crate) async fn are_kept_and_dropped(store: &Store) {
    let manifest = ManifestId::from_bytes([7; 32]);
    assert_eq!(store.profiles(ROOT, &manifest).await.unwrap(), None);
    for seed in [1, 2] {
        store.put_profiles(ROOT, &manifest, bytes_of(4096, seed)).await.unwrap();
        assert_eq!(store.profiles(ROOT, &manifest).await.unwrap(), Some(bytes_of(4096, seed)));
    }
    assert_eq!(head_start(store, &manifest).await, Some((bytes_of(4096, 2), None)));
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
    // The profiles that are put next name the bundle that was made last, and so may those that follow.
    for seed in [5, 6] {
        store.put_profiles(ROOT, &manifest, bytes_of(8192, seed)).await.unwrap();
        let (profiles, head) = head_start(store, &manifest).await.unwrap();
        let (id, bundle_len, begin) = head.unwrap();
        assert_eq!((profiles, id), (bytes_of(8192, seed), BundleId::from_bytes([4; 32])));
        assert_eq!((bundle_len, begin), (19 << 20, bytes_of(BUNDLE_HEAD_LEN as usize, 4).to_vec()));
    }
    let absent = BundleId::from_bytes([9; 32]);
    let missing = store.bundle(ROOT, &manifest, &absent, 0..10).await.map(|_| ());
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
    assert!(store.drop_profiles(ROOT, &manifest).await.unwrap());
    assert_eq!(store.profiles(ROOT, &manifest).await.unwrap(), None);
    assert_eq!(head_start(store, &manifest).await, None);
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
async fn a_damaged_head_start_is_refused_and_the_next_profiles_replace_it() {
    let scene = Scene::new().await;
    let (manifest, id) = (ManifestId::from_bytes([7; 32]), BundleId::from_bytes([1; 32]));
    let mut writer = scene.store.write_bundle(ROOT, &manifest, &id);
    writer.write(bytes_of(1 << 20, 1)).await.unwrap();
    writer.finish().await.unwrap();
    scene.store.put_profiles(ROOT, &manifest, bytes_of(4096, 1)).await.unwrap();
    let path = scene.directory.path().join(format!("roots/{ROOT}/profiles/{manifest}/head"));
    let sound = std::fs::read(&path).unwrap();
    for damaged in [&[][..], &[0; 3], &[0xff; 100], &sound[..4000]] {
        std::fs::write(&path, damaged).unwrap();
        let refused = scene.store.head_start(ROOT, &manifest).await.map(|_| ());
        assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
        scene.store.put_profiles(ROOT, &manifest, bytes_of(4096, 2)).await.unwrap();
        assert_eq!(head_start(&scene.store, &manifest).await, Some((bytes_of(4096, 2), None)));
    }
    // A bundle that breaks off is what came of it.
    std::fs::write(&path, &sound[..sound.len() - 1000]).unwrap();
    let (_, head) = head_start(&scene.store, &manifest).await.unwrap();
    assert_eq!(head.unwrap().2.len(), (1 << 20) - 1000);
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
