//! Opening a store while its first name is read.

use bytes::Bytes;
use frazil_format::{ManifestId, RootId};
use frazil_store::{
    Beside, Coming, ErrorClass, MANIFEST_FRONT_LEN, Published, Reference, Store, StoreError, StoreLocation,
    StoreOptions,
};
use futures::TryStreamExt;

#[tokio::test]
async fn a_store_is_opened_with_what_a_name_stands_for_in_three_requests() {
    let dir = tempfile::tempdir().unwrap();
    let location = StoreLocation::directory(dir.path().join("store")).unwrap();
    let options = StoreOptions::default();
    let store = Store::open_or_create(&location, &options).await.unwrap();
    let manifest = Bytes::from_static(b"a manifest, as far as a store knows");
    let id = ManifestId::from_bytes([5; 32]);
    store.put_manifest(RootId::FIRST, &id, manifest.clone()).await.unwrap();
    let reference = Reference { root: RootId::FIRST, manifest: id };
    store.publish("tests", &"image".parse().unwrap(), reference).await.unwrap();

    let (opened, published) =
        Store::open_with(&location, &options, "tests", &"image".parse().unwrap(), Beside::Profiles)
            .await
            .unwrap();
    assert_eq!(opened.id(), store.id());
    let Published { reference: found, manifest: coming, profiles, .. } = published.unwrap().unwrap();
    assert_eq!((found, coming.len, profiles), (reference, manifest.len() as u64, Some(None)));
    assert_eq!(whole(coming).await, manifest);
    // The marker, the name, and its starter, which has the manifest.
    assert_eq!(opened.requests().gets, 3);

    let (_, nobodys) =
        Store::open_with(&location, &options, "tests", &"other".parse().unwrap(), Beside::Profiles)
            .await
            .unwrap();
    assert!(nobodys.unwrap().is_none());
}

async fn whole(coming: Coming) -> Vec<u8> {
    coming.bytes.try_collect::<Vec<_>>().await.unwrap().concat()
}

#[tokio::test]
async fn a_long_manifest_comes_from_any_byte_on() {
    let dir = tempfile::tempdir().unwrap();
    let location = StoreLocation::directory(dir.path().join("store")).unwrap();
    let store = Store::open_or_create(&location, &StoreOptions::default()).await.unwrap();
    let manifest: Vec<u8> = (0..3 * MANIFEST_FRONT_LEN).map(|at| (at % 251) as u8).collect();
    let id = ManifestId::from_bytes([5; 32]);
    store.put_manifest(RootId::FIRST, &id, manifest.clone().into()).await.unwrap();
    for from in [0, 1, MANIFEST_FRONT_LEN, manifest.len() as u64 - 1] {
        let coming = store.manifest_from(RootId::FIRST, &id, from).await.unwrap();
        assert_eq!(coming.len, manifest.len() as u64);
        let mut gathered = coming.gathered(MANIFEST_FRONT_LEN).await.unwrap();
        let front = gathered.bytes.try_next().await.unwrap().unwrap();
        assert_eq!(front, manifest[from as usize..][..front.len()]);
        assert!(front.len() as u64 >= MANIFEST_FRONT_LEN.min(coming_len(&manifest, from)));
        assert_eq!(whole(gathered).await, manifest[from as usize + front.len()..]);
    }
    let other = ManifestId::from_bytes([6; 32]);
    let error = store.manifest_from(RootId::FIRST, &other, 0).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
}

fn coming_len(manifest: &[u8], from: u64) -> u64 {
    manifest.len() as u64 - from
}

#[tokio::test]
async fn what_lies_in_a_directory_that_is_no_store_is_not_taken_for_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let location = StoreLocation::directory(dir.path()).unwrap();
    let name = "image".parse().unwrap();
    let error = Store::open_with(&location, &StoreOptions::default(), "tests", &name, Beside::Profiles)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
}
