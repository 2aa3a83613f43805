//! Starters: what a start reads along with a name is what it would have read one after the other, or is not used.

use std::time::Duration;
use std::{fmt, fs};

use bytes::Bytes;
use frazil_format::{BundleId, ManifestId};
use frazil_store::gc::{self, Intent, Policy};
use frazil_store::{BUNDLE_HEAD_LEN, Beside, BundleHead, MANIFEST_FRONT_LEN, Reference, Store};
use futures::TryStreamExt;

use crate::scene::{ROOT, Scene, files, image, store_in};

fn bytes_of(len: usize, seed: u8) -> Bytes {
    (0..len).map(|at| ((at % 251) as u8).wrapping_add(seed)).collect::<Vec<_>>().into()
}

/// What there is of an image, and what of it came at once.
#[derive(PartialEq, Eq)]
struct Found {
    reference: Reference,
    manifest: Vec<u8>,
    profiles: Option<Option<Bytes>>,
    head: Option<(BundleId, Vec<u8>)>,
}

/// What a start finds that knows nothing of the store but the name, and after how many requests.
async fn found(store: &Store, name: &str, beside: Beside) -> Option<(Found, u64)> {
    let stranger = Store::open(store.location(), &Default::default()).await.unwrap();
    let before = stranger.requests().gets;
    let published = stranger.published("default", &image(name), beside).await.unwrap()?;
    let asked = stranger.requests().gets - before;
    let head = match published.head {
        None => None,
        Some(BundleHead { id, bytes, .. }) => {
            Some((id, bytes.try_collect::<Vec<_>>().await.unwrap().concat()))
        }
    };
    let manifest: Vec<Bytes> = published.manifest.bytes.try_collect().await.unwrap();
    let (reference, manifest) = (published.reference, manifest.concat());
    assert_eq!(published.manifest.len, manifest.len() as u64);
    Some((Found { reference, manifest, profiles: published.profiles, head }, asked))
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brief = |bytes: &[u8]| format!("{} bytes from {:?}", bytes.len(), bytes.first());
        f.debug_struct("Found")
            .field("reference", &self.reference)
            .field("manifest", &brief(&self.manifest))
            .field("profiles", &self.profiles.as_ref().map(|found| found.as_deref().map(brief)))
            .field("head", &self.head.as_ref().map(|(id, bytes)| (id, brief(bytes))))
            .finish()
    }
}

async fn publish(store: &Store, name: &str, manifest: Bytes) -> Reference {
    let reference = Reference { root: ROOT, manifest: ManifestId::from_bytes([manifest[0]; 32]) };
    store.put_manifest(ROOT, &reference.manifest, manifest).await.unwrap();
    store.publish("default", &image(name), reference).await.unwrap();
    reference
}

/// What a start learns of an image that it found by its name.
async fn learn(store: &Store, of: &Reference, seed: u8) -> (Bytes, BundleId) {
    let (profiles, id) = (bytes_of(4096, seed), BundleId::from_bytes([seed; 32]));
    let mut writer = store.write_bundle(of.root, &of.manifest, &id);
    writer.write(bytes_of(2 * BUNDLE_HEAD_LEN as usize, seed)).await.unwrap();
    writer.finish().await.unwrap();
    store.put_profiles(of.root, &of.manifest, profiles.clone()).await.unwrap();
    (profiles, id)
}

/// What any store does with them.
pub(crate) async fn bring_an_image_along_with_its_name(store: &Store) {
    let manifest = bytes_of(3 * MANIFEST_FRONT_LEN as usize + 7, 1);
    let reference = publish(store, "app", manifest.clone()).await;
    let mut expected = Found { reference, manifest: manifest.to_vec(), profiles: Some(None), head: None };
    for beside in [Beside::HeadStart, Beside::Profiles] {
        let (found, asked) = found(store, "app", beside).await.unwrap();
        assert_eq!((&found, asked), (&expected, 2), "{beside:?}: the name and its starter");
    }

    // Whoever found it by its name and learns something tells the next start.
    let (options, name) = (Default::default(), image("app"));
    let opened = Store::open_with(store.location(), &options, "default", &name, Beside::Profiles).await;
    let (learner, published) = opened.unwrap();
    assert_eq!(published.unwrap().unwrap().reference, reference);
    for seed in [3, 4] {
        let (profiles, id) = learn(&learner, &reference, seed).await;
        expected.profiles = Some(Some(profiles));
        expected.head = Some((id, bytes_of(BUNDLE_HEAD_LEN as usize, seed).to_vec()));
        let (with_head, asked) = found(store, "app", Beside::HeadStart).await.unwrap();
        assert_eq!((&with_head, asked), (&expected, 2));
        expected.head = None;
        let (without, asked) = found(store, "app", Beside::Profiles).await.unwrap();
        assert_eq!((&without, asked), (&expected, 2));
    }
    learner.drop_profiles(reference.root, &reference.manifest).await.unwrap();
    expected.profiles = Some(None);
    assert_eq!(found(store, "app", Beside::HeadStart).await.unwrap(), (expected, 2));

    // A new version takes the name, and what is learnt of the old one later does not take its starter.
    let newer = publish(store, "app", bytes_of(1000, 2)).await;
    learn(&learner, &reference, 5).await;
    let (found_newer, asked) = found(store, "app", Beside::HeadStart).await.unwrap();
    assert_eq!((found_newer.reference, asked), (newer, 2));
    assert_eq!(found_newer.manifest, bytes_of(1000, 2));

    assert!(store.unpublish("default", &image("app")).await.unwrap());
    assert_eq!(found(store, "app", Beside::HeadStart).await, None);
}

#[tokio::test]
async fn a_starter_brings_an_image_along_with_its_name() {
    let scene = Scene::new().await;
    bring_an_image_along_with_its_name(&scene.store).await;
    let left = files(scene.directory.path());
    assert!(!left.iter().any(|path| path.starts_with("starters/")), "{left:?}");
}

#[tokio::test]
async fn a_starter_that_is_missing_damaged_or_of_another_version_is_not_used() {
    let scene = Scene::new().await;
    let (old, new) = (bytes_of(1000, 1), bytes_of(MANIFEST_FRONT_LEN as usize + 1000, 2));
    publish(&scene.store, "app", old).await;
    let path = scene.path("starters/default/app");
    let of_old = fs::read(&path).unwrap();
    let reference = publish(&scene.store, "app", new.clone()).await;
    assert_eq!(scene.store.reference("default", &image("app")).await.unwrap(), Some(reference));
    let (profiles, id) = learn(&scene.store, &reference, 3).await;
    let head = Some((id, bytes_of(BUNDLE_HEAD_LEN as usize, 3).to_vec()));
    let expected = Found { reference, manifest: new.to_vec(), profiles: Some(Some(profiles)), head };
    let sound = fs::read(&path).unwrap();

    let flipped = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        bytes
    };
    let front_end = 76 + MANIFEST_FRONT_LEN as usize;
    let mut useless = vec![of_old, Vec::new(), sound[..40].to_vec(), sound[..front_end - 1].to_vec()];
    useless.extend([0, 4, 35, 36, 43, 44, 75, 76, front_end - 1].map(flipped));
    for bytes in useless {
        fs::write(&path, &bytes).unwrap();
        let (found, asked) = found(&scene.store, "app", Beside::HeadStart).await.unwrap();
        assert_eq!((&found, asked), (&expected, 4), "name, starter, manifest and head start");
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(found(&scene.store, "app", Beside::HeadStart).await.unwrap().0, expected);

    // What is damaged behind the manifest is not known, and the manifest is of use all the same.
    for damaged in [flipped(front_end + 7), sound[..front_end + 100].to_vec()] {
        fs::write(&path, &damaged).unwrap();
        let (found, asked) = found(&scene.store, "app", Beside::HeadStart).await.unwrap();
        assert_eq!((found.manifest, found.profiles, found.head, asked), (new.to_vec(), None, None, 2));
    }
}

#[tokio::test]
async fn a_collection_takes_starters_along_and_those_away_whose_names_are_gone() {
    let scene = Scene::new().await;
    publish(&scene.store, "app", bytes_of(1000, 1)).await;
    let orphan = scene.path("starters/default/gone");
    fs::copy(scene.path("starters/default/app"), &orphan).unwrap();
    let policy = Policy { retire_after: Duration::ZERO, ..Policy::default() };
    gc::collect(&scene.store, &policy, Intent::Plan).await.unwrap();
    assert!(orphan.exists());
    gc::collect(&scene.store, &policy, Intent::Run).await.unwrap();
    assert!(!orphan.exists());
    assert_eq!(found(&scene.store, "app", Beside::HeadStart).await.unwrap().1, 2);
}

#[tokio::test]
async fn a_store_that_has_no_room_for_starters_publishes_all_the_same() {
    let scene = Scene::new().await;
    // Where starters would be there is a file, so none can be written.
    fs::write(scene.path("starters"), "").unwrap();
    let reference = publish(&scene.store, "app", bytes_of(1000, 1)).await;
    let store = store_in(scene.directory.path()).await;
    let (found, asked) = found(&store, "app", Beside::HeadStart).await.unwrap();
    assert_eq!((found.reference, found.manifest, asked), (reference, bytes_of(1000, 1).to_vec(), 4));
}
