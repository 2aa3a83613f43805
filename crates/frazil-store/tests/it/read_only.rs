//! A store that may be read and not written.

use frazil_store::{ErrorClass, Keyring, Store, StoreLocation, StoreOptions};

use crate::namespace::{block_on, in_mount_namespace, make_read_only};
use crate::scene::{ROOT, Scene, files, image, publish, sealed};

#[test]
fn a_read_only_store_is_read_and_refuses_every_write() {
    let (scene, reference, chunk) = block_on(async {
        let scene = Scene::new().await;
        let reference = publish(&scene.store, "app", b"content").await;
        let chunk = sealed(5000, 1);
        scene.store.put_chunk(ROOT, &chunk.id, &chunk.chunk).await.unwrap();
        (scene, reference, chunk)
    });
    let before = files(scene.directory.path());
    let path = scene.directory.path();
    in_mount_namespace(|| {
        make_read_only(path);
        block_on(async {
            let location = StoreLocation::directory(path).unwrap();
            let store = Store::open(&location, &StoreOptions::default()).await.unwrap();
            assert_eq!(store.reference("default", &image("app")).await.unwrap(), Some(reference));
            assert_eq!(store.get_chunk(ROOT, &chunk.id).await.unwrap(), chunk.chunk);
            store.put_chunk(ROOT, &chunk.id, &chunk.chunk).await.expect("it is there: nothing to write");

            let new = sealed(5000, 2);
            let refusals = [
                store.put_chunk(ROOT, &new.id, &new.chunk).await.map(drop).unwrap_err(),
                store.put_manifest(ROOT, &reference.manifest, "x".into()).await.unwrap_err(),
                store.publish("default", &image("app"), reference).await.unwrap_err(),
                store.unpublish("default", &image("app")).await.map(drop).unwrap_err(),
            ];
            for refusal in refusals {
                assert_eq!(refusal.class(), ErrorClass::Denied, "{refusal}");
            }
        });
    });
    assert_eq!(files(path), before);
}

#[test]
fn nothing_is_made_where_nothing_may_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    in_mount_namespace(|| {
        make_read_only(path);
        let location = StoreLocation::directory(path.join("store")).unwrap();
        let refused = block_on(Store::open_or_create(&location, &StoreOptions::default())).unwrap_err();
        assert_eq!(refused.class(), ErrorClass::Denied, "{refused}");
        let refused = Keyring::open_or_create(path.join("keys")).unwrap_err();
        assert_eq!(refused.class(), ErrorClass::Denied, "{refused}");
    });
}
