//! Opening a store while its first name is read.

use bytes::Bytes;
use frazil_format::{ManifestId, RootId};
use frazil_store::{Published, Reference, Store, StoreError, StoreLocation, StoreOptions};

#[tokio::test]
async fn a_store_is_opened_with_what_a_name_stands_for_in_four_requests() {
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
        Store::open_with(&location, &options, "tests", &"image".parse().unwrap()).await.unwrap();
    assert_eq!(opened.id(), store.id());
    assert_eq!(published.unwrap(), Some(Published { reference, manifest, profiles: Some(None) }));
    // The marker and the name; then the manifest and its profiles.
    assert_eq!(opened.requests().gets, 4);

    let (_, nobodys) =
        Store::open_with(&location, &options, "tests", &"other".parse().unwrap()).await.unwrap();
    assert_eq!(nobodys.unwrap(), None);
}

#[tokio::test]
async fn what_lies_in_a_directory_that_is_no_store_is_not_taken_for_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let location = StoreLocation::directory(dir.path()).unwrap();
    let name = "image".parse().unwrap();
    let error = Store::open_with(&location, &StoreOptions::default(), "tests", &name).await.unwrap_err();
    assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
}
