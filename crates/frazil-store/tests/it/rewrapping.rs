//! A tenant's wrapping key that is rotated while not all of its images are sound.

use frazil_format::{
    DataKey, Geometry, Manifest, ManifestId, ScopeSecret, SealedManifest, WrappedKey, wrap_context,
};
use frazil_store::{ErrorClass, KeyProvider, Keyring, Reference, Store};

use crate::scene::{ROOT, Scene, image, publish};

/// A manifest of the tenant `default` without a single chunk.
fn empty_manifest(name: &str, data_key: &DataKey, wrapped: WrappedKey) -> (ManifestId, Vec<u8>) {
    let geometry = Geometry {
        root: ROOT,
        tenant: "default".to_owned(),
        name: name.to_owned(),
        created_seconds: 1,
        metadata_len: 0,
        metadata_scope: ScopeSecret::from_bytes([1; 32]).id(),
        image_len: 0,
        layers: Vec::new(),
    };
    let manifest = Manifest { geometry, chunks: Vec::new(), keys: Vec::new(), config: Vec::new() };
    manifest.seal(data_key, wrapped).unwrap()
}

/// Publishes an image whose data key is wrapped by the tenant's key.
async fn publish_sound(store: &Store, keys: &Keyring, name: &str) {
    let data_key = DataKey::generate().unwrap();
    let wrapped = keys.wrap("default", &data_key, &wrap_context("default", name)).await.unwrap();
    let (manifest, bytes) = empty_manifest(name, &data_key, wrapped);
    store.put_manifest(ROOT, &manifest, bytes.into()).await.unwrap();
    store.publish("default", &image(name), Reference { root: ROOT, manifest }).await.unwrap();
}

/// The id of the key that an image is wrapped by.
async fn key_of(store: &Store, name: &str) -> String {
    let reference = store.reference("default", &image(name)).await.unwrap().unwrap();
    let bytes = store.manifest(reference.root, &reference.manifest).await.unwrap();
    SealedManifest::verify(&reference.manifest, bytes).unwrap().wrapped_key().key_id.clone()
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_keeps_no_other_image_from_a_rotated_key() {
    let (scene, keyring) = (Scene::new().await, tempfile::tempdir().unwrap());
    let keys = Keyring::open_or_create(keyring.path().join("keys")).unwrap();
    publish(&scene.store, "broken", b"this is no manifest").await;
    let lost = publish(&scene.store, "lost", b"this will not be there").await;
    std::fs::remove_file(scene.path(format!("roots/00000001/manifests/{}", lost.manifest))).unwrap();
    publish_sound(&scene.store, &keys, "sound").await;
    let old = key_of(&scene.store, "sound").await;

    let rotation = scene.store.rotate_key("default", &keys).await.unwrap();
    assert!(rotation.is_new && rotation.key != old, "{rotation:?}");
    assert_eq!((rotation.rewrapping.current, rotation.rewrapping.rewrapped), (0, 1));
    let failed: Vec<_> =
        rotation.rewrapping.failed.iter().map(|(name, error)| (name.as_str(), error.class())).collect();
    assert_eq!(failed, [("broken", ErrorClass::Corrupt), ("lost", ErrorClass::NotFound)]);
    assert_eq!(key_of(&scene.store, "sound").await, rotation.key);
}
