//! Layer indexes, manifests and names.

use bytes::Bytes;
use frazil_format::{ChunkId, ManifestId};
use frazil_store::{ErrorClass, Reference, StoreError};

use crate::scene::{ROOT, Scene, image, publish};

#[tokio::test]
async fn an_image_is_visible_from_its_publishing_to_its_unpublishing() {
    let scene = Scene::new().await;
    assert_eq!(scene.store.names("default").await.unwrap(), []);
    let python = publish(&scene.store, "docker.io/library/python:3.12", b"manifest one").await;
    let apt = publish(&scene.store, "apt", b"manifest two").await;
    let names = scene.store.names("default").await.unwrap();
    assert_eq!(names, [(image("apt"), apt), (image("docker.io/library/python:3.12"), python)]);
    assert_eq!(scene.store.reference("default", &image("apt")).await.unwrap(), Some(apt));
    assert_eq!(scene.store.manifest(ROOT, &apt.manifest).await.unwrap(), "manifest two");
    assert!(scene.store.unpublish("default", &image("apt")).await.unwrap());
    assert!(!scene.store.unpublish("default", &image("apt")).await.unwrap());
    assert_eq!(scene.store.reference("default", &image("apt")).await.unwrap(), None);
    assert_eq!(scene.store.manifest(ROOT, &apt.manifest).await.unwrap(), "manifest two");
}

#[tokio::test]
async fn publishing_again_replaces_what_the_name_stood_for() {
    let scene = Scene::new().await;
    publish(&scene.store, "app", b"old").await;
    let new = publish(&scene.store, "app", b"new").await;
    assert_eq!(scene.store.names("default").await.unwrap(), [(image("app"), new)]);
}

#[tokio::test]
async fn tenants_do_not_see_each_others_names() {
    let scene = Scene::new().await;
    let reference = publish(&scene.store, "app", b"of default").await;
    assert_eq!(scene.store.reference("other", &image("app")).await.unwrap(), None);
    assert_eq!(scene.store.names("other").await.unwrap(), []);
    scene.store.publish("other", &image("app"), reference).await.unwrap();
    assert_eq!(scene.store.names("other").await.unwrap().len(), 1);
    for tenant in ["", "..", "a/b"] {
        let error = scene.store.names(tenant).await.unwrap_err();
        assert!(matches!(error, StoreError::BadPlainName { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_manifest_that_is_not_there_gets_no_name() {
    let scene = Scene::new().await;
    let reference = Reference { root: ROOT, manifest: ManifestId::from_bytes([3; 32]) };
    let error = scene.store.publish("default", &image("app"), reference).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NotFound);
    assert_eq!(scene.store.names("default").await.unwrap(), []);
}

#[tokio::test]
async fn a_name_cannot_leave_its_tenants_directory() {
    let scene = Scene::new().await;
    for name in ["../../frazil.json", "/etc/passwd", "..", "a/../../b"] {
        let reference = publish(&scene.store, name, b"escapes").await;
        assert_eq!(scene.store.reference("default", &image(name)).await.unwrap(), Some(reference));
    }
    assert_eq!(std::fs::read_dir(scene.path("names/default")).unwrap().count(), 4);
    assert_eq!(scene.store.names("default").await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_damaged_reference_names_itself_and_is_replaced_by_publishing() {
    let scene = Scene::new().await;
    let reference = publish(&scene.store, "app", b"content").await;
    for damage in ["", "{\"format\": 1, \"root\": \"1\"}", "\0\0\0\0\0\0"] {
        std::fs::write(scene.path("names/default/app"), damage).unwrap();
        let error = scene.store.reference("default", &image("app")).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Corrupt);
        assert!(error.to_string().starts_with("names/default/app is damaged: "), "{error}");
    }
    scene.store.publish("default", &image("app"), reference).await.unwrap();
    assert_eq!(scene.store.reference("default", &image("app")).await.unwrap(), Some(reference));
}

#[tokio::test]
async fn foreign_files_and_unfinished_writes_are_no_names() {
    let scene = Scene::new().await;
    let reference = publish(&scene.store, "app", b"content").await;
    for file in ["app#1", ".DS_Store", "what is this", "%zz"] {
        std::fs::write(scene.path("names/default").join(file), "junk").unwrap();
    }
    assert_eq!(scene.store.names("default").await.unwrap(), [(image("app"), reference)]);
}

#[tokio::test]
async fn a_layer_index_is_there_or_not_and_a_damaged_one_is_replaced() {
    let scene = Scene::new().await;
    let id = ChunkId::of(b"a layer").to_string().parse().unwrap();
    assert_eq!(scene.store.layer_index(ROOT, &id).await.unwrap(), None);
    for content in ["index", "INDEX", "a longer index"] {
        scene.store.put_layer_index(ROOT, &id, Bytes::from_static(content.as_bytes())).await.unwrap();
        assert_eq!(scene.store.layer_index(ROOT, &id).await.unwrap().unwrap(), content);
    }
}
