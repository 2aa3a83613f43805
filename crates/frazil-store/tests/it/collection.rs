//! A whole cycle of roots on real stores: a directory, and a bucket behind a real HTTP server.

use std::time::Duration;

use bytes::Bytes;
use frazil_format::{
    Chunk, ChunkId, DataKey, DiffId, Geometry, LayerExtent, Manifest, RootId, ScopeSecret, WrappedKey,
};
use frazil_store::gc::{self, Intent, Policy, Step};
use frazil_store::{AlarmState, Reference, RootState, Store, StoreError, scrub};

#[cfg(feature = "cloud")]
use crate::namespace::block_on;
use crate::scene::{ROOT, Scene, files, image, sealed};

const SECOND: RootId = RootId::from_number(2);

/// Everything is due at once; a new root is made by hand.
const AT_ONCE: Policy = Policy {
    new_after: Duration::MAX,
    retire_after: Duration::ZERO,
    expire_after: Duration::ZERO,
    delete_after: Duration::ZERO,
    quiet: Duration::ZERO,
    deletions_per_second: 100_000,
};

/// The same, but nothing expires yet.
const MIGRATE_ONLY: Policy = Policy { expire_after: Duration::MAX, ..AT_ONCE };

/// The same, but nothing is deleted yet.
const EXPIRE_ONLY: Policy = Policy { delete_after: Duration::MAX, ..AT_ONCE };

/// Publishes an image of chunks of these seeds, in the first root.
async fn publish(store: &Store, name: &str, seeds: &[u8]) -> Reference {
    let chunks: Vec<_> = seeds.iter().map(|seed| sealed(3000, *seed)).collect();
    for chunk in &chunks {
        store.put_chunk(ROOT, &chunk.id, &chunk.chunk).await.unwrap();
    }
    let scope = ScopeSecret::from_bytes([1; 32]).id();
    let len = 4096 * chunks.len() as u64;
    let record = |(at, sealed): (u64, &frazil_format::Sealed)| Chunk {
        offset: 4096 * at,
        len: 3000,
        sealed_len: u32::try_from(sealed.chunk.len()).unwrap(),
        id: sealed.id,
    };
    let manifest = Manifest {
        geometry: Geometry {
            root: ROOT,
            tenant: "default".to_owned(),
            name: name.to_owned(),
            created_seconds: 0,
            metadata_len: 0,
            metadata_scope: scope,
            image_len: len,
            layers: vec![LayerExtent { diff_id: DiffId::from_bytes([1; 32]), scope, offset: 0, len }],
        },
        chunks: (0..).zip(&chunks).map(record).collect(),
        keys: chunks.iter().map(|sealed| sealed.key.clone()).collect(),
        config: Vec::new(),
    };
    let wrapped = WrappedKey { provider: "none".into(), key_id: "none".into(), bytes: vec![0; 16] };
    let (id, bytes) = manifest.seal(&DataKey::from_bytes([9; 32]), wrapped).unwrap();
    store.put_manifest(ROOT, &id, bytes.into()).await.unwrap();
    store.put_profiles(ROOT, &id, Bytes::from_static(b"a profile")).await.unwrap();
    let reference = Reference { root: ROOT, manifest: id };
    store.publish("default", &image(name), reference).await.unwrap();
    reference
}

async fn assert_whole(store: &Store, root: RootId, seeds: &[u8]) {
    for seed in seeds {
        let expected = sealed(3000, *seed);
        assert_eq!(store.get_chunk(root, &expected.id).await.unwrap(), expected.chunk);
    }
}

/// A reader that knows nothing yet: what another process is.
async fn another(store: &Store) -> Store {
    Store::open(store.location(), &Default::default()).await.unwrap()
}

pub(crate) async fn cycle(store: &Store) {
    let app = publish(store, "app", &[1, 2, 3]).await;
    publish(store, "db", &[3, 4]).await;
    publish(store, "gone", &[5, 6]).await;
    assert!(store.unpublish("default", &image("gone")).await.unwrap());
    assert_eq!(store.new_root().await.unwrap(), SECOND);

    // The plan says what the run does, and does nothing.
    let plan = gc::collect(store, &MIGRATE_ONLY, Intent::Plan).await.unwrap();
    assert_eq!(store.roots().await.unwrap()[0].1, RootState::Active);
    let done = gc::collect(store, &MIGRATE_ONLY, Intent::Run).await.unwrap();
    assert_eq!(without_waits(&plan.steps), without_waits(&done.steps));
    let Some(Step::Migrate(migration)) = done.steps.iter().find(|step| matches!(step, Step::Migrate(_)))
    else {
        panic!("{done:?}")
    };
    let len = sealed(3000, 1).chunk.len() as u64;
    assert_eq!((migration.chunks, migration.bytes), (4, 4 * len));
    let bytes: Vec<_> =
        migration.images.iter().map(|image| (image.name.as_str(), image.bytes, image.own_bytes)).collect();
    assert_eq!(bytes, [("app", 3 * len, 3 * len), ("db", 2 * len, len)]);

    // The same manifests, now in the second root, with their chunks and profiles; the first root is whole too.
    let moved = Reference { root: SECOND, manifest: app.manifest };
    assert_eq!(store.reference("default", &image("app")).await.unwrap(), Some(moved));
    assert_whole(store, SECOND, &[1, 2, 3, 4]).await;
    assert_eq!(&*store.profiles(SECOND, &app.manifest).await.unwrap().unwrap(), b"a profile");
    assert_eq!(
        store.manifest(SECOND, &app.manifest).await.unwrap(),
        another(store).await.manifest(ROOT, &app.manifest).await.unwrap()
    );
    assert_eq!(store.alarm().await.unwrap(), None);

    // A converter that was late may not publish into a retired root.
    let late = store.publish("default", &image("late"), app).await.unwrap_err();
    assert!(matches!(late, StoreError::RootNotActive { root: ROOT, state: RootState::Retired }), "{late}");
    assert_eq!(store.reference("default", &image("late")).await.unwrap(), None);

    // The operator decides wrongly: somebody still has the first root mounted.
    gc::collect(store, &EXPIRE_ONLY, Intent::Run).await.unwrap();
    assert_eq!(store.root_state(ROOT).await.unwrap(), RootState::Expired);
    let reader = another(store).await;
    assert_whole(&reader, ROOT, &[1]).await;
    assert!(reader.expired_root_reads() >= 1);
    let (alarm, _) = store.alarm().await.unwrap().unwrap();
    assert_eq!((alarm.state, alarm.root, alarm.access.as_str()), (AlarmState::Raised, ROOT, "chunk"));
    let refused = gc::delete_root(store, ROOT, Duration::ZERO, &AT_ONCE, Intent::Run).await.unwrap_err();
    assert!(matches!(refused, StoreError::AlarmStands { root: ROOT, .. }), "{refused}");
    let report = gc::collect(store, &AT_ONCE, Intent::Run).await.unwrap();
    assert!(matches!(report.steps[..], [Step::Blocked { root: ROOT, next: "delete", .. }]), "{report:?}");
    assert_whole(&another(store).await, ROOT, &[1, 2, 3, 4, 5, 6]).await;

    // He clears it without having looked: there is a time in which it can be raised again, and is.
    assert_eq!(store.clear_alarm().await.unwrap().unwrap().root, ROOT);
    let hasty = Policy { quiet: Duration::from_secs(3600), ..AT_ONCE };
    let refused = gc::delete_root(store, ROOT, Duration::ZERO, &hasty, Intent::Run).await.unwrap_err();
    assert!(matches!(refused, StoreError::AlarmStands { .. }), "{refused}");
    another(store).await.in_use(ROOT).await;
    let (alarm, _) = store.alarm().await.unwrap().unwrap();
    assert_eq!((alarm.state, alarm.access.as_str()), (AlarmState::Raised, "mount"));

    // Rescued, and then done properly.
    store.retire_root(ROOT).await.unwrap();
    store.clear_alarm().await.unwrap();
    assert_whole(&another(store).await, ROOT, &[1, 2, 3, 4, 5, 6]).await;
    gc::collect(store, &EXPIRE_ONLY, Intent::Run).await.unwrap();
    let plan = gc::collect(store, &AT_ONCE, Intent::Plan).await.unwrap();
    let done = gc::collect(store, &AT_ONCE, Intent::Run).await.unwrap();
    let (Some(Step::Delete(planned)), Some(Step::Delete(deleted))) = (plan.steps.last(), done.steps.last())
    else {
        panic!("{plan:?} {done:?}")
    };
    assert_eq!((planned.objects, planned.bytes), (deleted.objects, deleted.bytes));
    assert_eq!(planned.unreferenced_bytes, 0);
    let names: Vec<_> = planned.images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["app", "db", "gone"]);
    // Six chunks, three manifests, three profiles and their head starts.
    assert_eq!(deleted.objects, 15);

    // What names refer to is whole, the number of the root is never used again, and nothing is left to do.
    assert_whole(store, SECOND, &[1, 2, 3, 4]).await;
    assert_eq!(store.root_state(ROOT).await.unwrap(), RootState::Deleted);
    assert_eq!(store.contains_chunk(ROOT, &sealed(3000, 5).id).await.unwrap(), None);
    assert!(gc::collect(store, &AT_ONCE, Intent::Run).await.unwrap().is_idle());
    assert_eq!(store.new_root().await.unwrap().number(), 3);
}

fn without_waits(steps: &[Step]) -> Vec<Step> {
    steps.iter().filter(|step| !matches!(step, Step::Wait { .. })).cloned().collect()
}

#[tokio::test]
async fn roots_of_a_directory_live_and_die_and_nothing_that_is_needed_is_lost() {
    let scene = Scene::new().await;
    cycle(&scene.store).await;
    let left: Vec<String> = files(&scene.path("roots/00000001"));
    assert_eq!(left, ["state.json"]);
    assert_eq!(std::fs::read_dir(scene.path("roots/00000001")).unwrap().count(), 1, "no empty directories");
}

#[tokio::test]
async fn a_deletion_that_is_cut_short_behind_its_last_object_is_finished_by_the_next() {
    let scene = Scene::new().await;
    publish(&scene.store, "gone", &[1, 2]).await;
    assert!(scene.store.unpublish("default", &image("gone")).await.unwrap());
    scene.store.new_root().await.unwrap();
    // What a killed writer leaves, which is in no listing.
    let mut unfinished = scene.chunk_file(&sealed(3000, 1).id).into_os_string();
    unfinished.push("#1");
    std::fs::write(&unfinished, "half").unwrap();
    // It deletes all of it at once, and waits for as long as that was to take.
    let slow = Policy { deletions_per_second: 1, ..AT_ONCE };
    let cut_short = gc::collect(&scene.store, &slow, Intent::Run);
    tokio::time::timeout(Duration::from_secs(1), cut_short).await.unwrap_err();
    assert!(std::path::Path::new(&unfinished).exists());
    gc::collect(&scene.store, &AT_ONCE, Intent::Run).await.unwrap();
    assert_eq!(files(&scene.path("roots/00000001")), ["state.json"]);
    assert!(gc::collect(&scene.store, &AT_ONCE, Intent::Run).await.unwrap().is_idle());
}

#[cfg(feature = "cloud")]
#[test]
fn roots_of_a_bucket_live_and_die_and_nothing_that_is_needed_is_lost() {
    let test = "collection::roots_of_a_bucket_live_and_die_and_nothing_that_is_needed_is_lost";
    let Some(location) = crate::buckets::in_a_bucket(test, "s3://images/some/prefix") else { return };
    block_on(async {
        let store = Store::open_or_create(&location, &Default::default()).await.unwrap();
        cycle(&store).await;
    });
}

#[tokio::test]
async fn a_root_is_not_expired_under_a_name_nor_the_last_one_retired() {
    let scene = Scene::new().await;
    publish(&scene.store, "app", &[1]).await;
    let error = scene.store.retire_root(ROOT).await.unwrap_err();
    assert!(matches!(error, StoreError::LastActiveRoot { root: ROOT }), "{error}");
    scene.store.new_root().await.unwrap();
    let error = gc::expire_root(&scene.store, ROOT, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, StoreError::BadTransition { state: RootState::Active, .. }), "{error}");
    scene.store.retire_root(ROOT).await.unwrap();
    let error = gc::expire_root(&scene.store, ROOT, Duration::from_secs(3600)).await.unwrap_err();
    assert!(matches!(error, StoreError::TooSoon { .. }), "{error}");
    let error = gc::expire_root(&scene.store, ROOT, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, StoreError::RootInUse { count: 1, .. }), "{error}");
    let error = gc::delete_root(&scene.store, ROOT, Duration::ZERO, &AT_ONCE, Intent::Run).await.unwrap_err();
    assert!(matches!(error, StoreError::BadTransition { state: RootState::Retired, .. }), "{error}");
    assert_whole(&scene.store, ROOT, &[1]).await;
}

#[tokio::test]
async fn an_image_that_lost_a_chunk_stays_and_so_does_its_root() {
    let scene = Scene::new().await;
    publish(&scene.store, "app", &[1, 2]).await;
    publish(&scene.store, "db", &[3]).await;
    std::fs::remove_file(scene.chunk_file(&sealed(3000, 2).id)).unwrap();
    scene.store.new_root().await.unwrap();
    let report = gc::collect(&scene.store, &AT_ONCE, Intent::Run).await.unwrap();
    assert!(
        report.problems[0].starts_with("app of tenant default stays in root 00000001: chunk "),
        "{report:?}"
    );
    assert_eq!(scene.store.root_state(ROOT).await.unwrap(), RootState::Retired);
    let root_of = async |name| scene.store.reference("default", &image(name)).await.unwrap().unwrap().root;
    assert_eq!((root_of("app").await, root_of("db").await), (ROOT, SECOND));
}

#[tokio::test]
async fn a_name_that_cannot_be_read_may_refer_to_any_root() {
    let scene = Scene::new().await;
    publish(&scene.store, "app", &[1]).await;
    scene.store.new_root().await.unwrap();
    std::fs::write(scene.path("names/default/app"), "{\"format\": 1, \"root\": \"00000001\"}").unwrap();
    let report = gc::collect(&scene.store, &AT_ONCE, Intent::Run).await.unwrap();
    assert!(
        report.problems.iter().any(|problem| problem.contains("names/default/app is damaged")),
        "{report:?}"
    );
    assert_eq!(scene.store.root_state(ROOT).await.unwrap(), RootState::Retired);
    assert_whole(&scene.store, ROOT, &[1]).await;
}

#[tokio::test]
async fn an_alarm_that_cannot_be_read_stops_deletion_and_nothing_else() {
    let scene = Scene::new().await;
    publish(&scene.store, "app", &[1]).await;
    scene.store.new_root().await.unwrap();
    for _ in 0..3 {
        gc::collect(&scene.store, &EXPIRE_ONLY, Intent::Run).await.unwrap();
    }
    assert_eq!(scene.store.root_state(ROOT).await.unwrap(), RootState::Expired);
    std::fs::write(scene.path("gc/alarm.json"), "torn").unwrap();
    let report = gc::collect(&scene.store, &AT_ONCE, Intent::Run).await.unwrap();
    assert!(report.problems.iter().any(|problem| problem.contains("gc/alarm.json is damaged")), "{report:?}");
    assert_eq!(scene.store.root_state(ROOT).await.unwrap(), RootState::Expired);
}

#[tokio::test]
async fn eight_machines_collect_at_once() {
    let scene = Scene::new().await;
    for name in 0..20 {
        publish(&scene.store, &format!("app-{name}"), &[name, name + 1, 100]).await;
    }
    scene.store.new_root().await.unwrap();
    let stores = futures::future::join_all((0..8).map(|_| another(&scene.store))).await;
    let runs =
        futures::future::join_all(stores.iter().map(|store| gc::collect(store, &AT_ONCE, Intent::Run)));
    for report in runs.await {
        assert_eq!(report.unwrap().problems, Vec::<String>::new());
    }
    let names = scene.store.names("default").await.unwrap();
    assert_eq!(names.len(), 20);
    assert!(names.iter().all(|(_, reference)| reference.root == SECOND));
    assert_whole(&scene.store, SECOND, &(0..=20).collect::<Vec<u8>>()).await;
    assert_eq!(scene.store.root_state(ROOT).await.unwrap(), RootState::Deleted);
}

#[tokio::test]
async fn a_scrub_finds_what_is_damaged_and_what_is_missing_and_whose_images_break() {
    let scene = Scene::new().await;
    publish(&scene.store, "app", &[1, 2]).await;
    publish(&scene.store, "db", &[2, 3]).await;
    publish(&scene.store, "web", &[4]).await;
    let options = scrub::ScrubOptions::default();
    let sound = scrub::scrub(&scene.store, ROOT, &options).await.unwrap();
    assert!(sound.is_sound(), "{sound:?}");
    assert_eq!(sound.chunks, 4);

    let (damaged, missing) = (sealed(3000, 2).id, sealed(3000, 3).id);
    let mut bytes = std::fs::read(scene.chunk_file(&damaged)).unwrap();
    bytes[1500] ^= 1;
    std::fs::write(scene.chunk_file(&damaged), bytes).unwrap();
    std::fs::remove_file(scene.chunk_file(&missing)).unwrap();
    let found = scrub::scrub(&scene.store, ROOT, &options).await.unwrap();
    assert_eq!(found.damaged_chunks().collect::<Vec<ChunkId>>(), [damaged]);
    let broken: Vec<_> = found
        .broken
        .iter()
        .map(|image| (image.name.as_str(), image.damaged.clone(), image.missing.clone()))
        .collect();
    let (damaged, missing) = (damaged.to_string(), missing.to_string());
    assert_eq!(broken, [("app", vec![damaged.clone()], vec![]), ("db", vec![damaged], vec![missing]),]);
}
