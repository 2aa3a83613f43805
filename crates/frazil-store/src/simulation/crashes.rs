//! A crash before and after every single request of a conversion, a migration, a deletion and the rotation of a key;
//! then a restart. At any moment each name leads to a manifest that a key of its tenant opens.

use std::sync::Arc;
use std::time::Duration;

use frazil_format::{DataKey, SealedManifest, wrap_context};

use super::actors::convert_into;
use super::dice;
use super::images::Content;
use super::keys::{DATA_KEY, FIRST, NumberedKeys, wrapped};
use super::objects::{Crash, SimulatedStore, Weather};
use super::world::World;
use crate::gc::{self, Intent, Policy};
use crate::{KeyProvider, Reference, RootState, Store};

/// More requests than any of these works makes.
const MAX_REQUESTS: u32 = 400;

/// Longer than any listing is late.
const SETTLED: Duration = Duration::from_secs(100);

/// Everything is due within two minutes.
const AT_ONCE: Policy = Policy {
    new_after: Duration::MAX,
    retire_after: Duration::ZERO,
    expire_after: Duration::from_secs(120),
    delete_after: Duration::from_secs(120),
    quiet: Duration::ZERO,
    deletions_per_second: 1000,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Work {
    Conversion,
    Migration,
    Deletion,
    Rotation,
}

const TENANTS: [&str; 2] = ["a", "b"];

/// The tenant whose key is rotated; it has two images.
const ROTATED: &str = "b";

/// What lies beside its manifests.
const PROFILES: &[u8] = b"what starts have read";

/// What lasts, whoever crashes.
struct Scene {
    world: Arc<World>,
    keys: NumberedKeys,
}

impl Scene {
    /// Opens whatever a name leads to.
    async fn check_names(&self, store: &Store) {
        for tenant in TENANTS {
            for (name, reference) in store.names(tenant).await.unwrap() {
                let sealed = self.manifest(store, &reference).await;
                let context = wrap_context(tenant, name.as_str());
                let key = self.keys.unwrap(tenant, sealed.wrapped_key(), &context).await.unwrap();
                sealed.open(&key).unwrap();
            }
        }
    }

    async fn manifest(&self, store: &Store, reference: &Reference) -> SealedManifest {
        let bytes = store.manifest(reference.root, &reference.manifest).await.unwrap();
        SealedManifest::verify(&reference.manifest, bytes).unwrap()
    }

    /// Tells the law what rotations will make of the manifests, of which each gets a profile.
    async fn foresee(&self, store: &Store) {
        for (_, Reference { root, manifest }) in store.names(ROTATED).await.unwrap() {
            store.put_profiles(root, &manifest, PROFILES.into()).await.unwrap();
            let sealed = self.manifest(store, &Reference { root, manifest }).await;
            // A second rotation comes about if the crash comes when all is done.
            for number in [FIRST + 1, FIRST + 2] {
                let key = DataKey::from_bytes(DATA_KEY);
                let (id, _) = sealed.rewrap(&key, &wrapped(ROTATED, number)).unwrap();
                self.world.know_alike(&id, &manifest);
            }
        }
    }
}

impl Work {
    /// What the store is like before.
    async fn prepare(self, scene: &Scene, store: &Store) {
        let world = &scene.world;
        for (tenant, name, serial) in [("a", "app", 1), ("b", "db", 2), ("b", "app", 3)] {
            let content = Content((0..6).map(|chunk| chunk * serial as u32).collect());
            let name = name.parse().unwrap();
            convert_into(world, store, tenant, &name, &content, serial).await.unwrap();
        }
        if matches!(self, Self::Migration | Self::Deletion) {
            store.new_root().await.unwrap();
        }
        // Longer than any listing is late.
        tokio::time::sleep(SETTLED).await;
        if self == Self::Rotation {
            scene.foresee(store).await;
        }
        if self == Self::Deletion {
            for _ in 0..2 {
                gc::collect(store, &AT_ONCE, Intent::Run).await.unwrap();
                tokio::time::sleep(AT_ONCE.delete_after + SETTLED).await;
            }
        }
    }

    async fn run(self, scene: &Scene, store: &Store) {
        let done = match self {
            Self::Conversion => {
                let content = Content(vec![1, 2, 50, 51]);
                convert_into(&scene.world, store, "a", &"app".parse().unwrap(), &content, 9).await
            }
            Self::Migration | Self::Deletion => gc::collect(store, &AT_ONCE, Intent::Run).await.map(drop),
            Self::Rotation => {
                let rotation = store.rotate_key(ROTATED, &scene.keys).await.unwrap();
                assert!(rotation.rewrapping.failed.is_empty(), "{rotation:?}");
                Ok(())
            }
        };
        done.unwrap();
    }

    /// What must have come of it at last.
    async fn is_done(self, scene: &Scene, store: &Store) -> bool {
        let names = [store.names("a").await.unwrap(), store.names("b").await.unwrap()].concat();
        assert_eq!(names.len(), 3);
        let first = store.roots().await.unwrap()[0].1;
        match self {
            Self::Conversion => first == RootState::Active,
            Self::Migration => names.iter().all(|(_, reference)| reference.root.number() == 2),
            Self::Deletion => first == RootState::Deleted,
            Self::Rotation => {
                let current = scene.keys.current_key(ROTATED).await.unwrap();
                let mut done = current != wrapped(ROTATED, FIRST).key_id;
                for (_, reference) in store.names(ROTATED).await.unwrap() {
                    done &= scene.manifest(store, &reference).await.wrapped_key().key_id == current;
                    let profiles = store.profiles(reference.root, &reference.manifest).await.unwrap();
                    done &= profiles.is_some_and(|profiles| profiles == PROFILES);
                }
                done
            }
        }
    }
}

/// Whether the work ended before the crash came.
async fn try_with(work: Work, crash: Crash) -> bool {
    let scene = Scene { world: World::new(1, false), keys: NumberedKeys::new() };
    let world = &scene.world;
    let calm = SimulatedStore::new(world, "calm", Weather::CALM);
    let store = Store::over(Arc::new(calm)).await.unwrap();
    work.prepare(&scene, &store).await;

    let mut doomed = SimulatedStore::new(world, "doomed", Weather::CALM);
    doomed.planned = Some(crash);
    let crashed = Arc::clone(&doomed.crash);
    let survived = tokio::select! {
        biased;
        () = crashed.notified() => false,
        () = async {
            let store = Store::over(Arc::new(doomed)).await.unwrap();
            work.run(&scene, &store).await;
        } => true,
    };
    assert_eq!(world.verdict(), None, "{work:?}, {crash:?}");
    scene.check_names(&store).await;

    tokio::time::sleep(SETTLED).await;
    work.run(&scene, &store).await;
    scene.check_names(&store).await;
    assert!(work.is_done(&scene, &store).await, "{work:?}, {crash:?}");
    tokio::time::sleep(SETTLED).await;
    // Late writers' rests, and what listings hid.
    gc::collect(&store, &Policy { retire_after: Duration::MAX, ..AT_ONCE }, Intent::Run).await.unwrap();
    assert_eq!(world.verdict(), None, "{work:?}, {crash:?}, after the restart");
    let (_, rests) = world.remains();
    assert_eq!(rests, Vec::<String>::new(), "{work:?}, {crash:?}");
    survived
}

fn crash_everywhere(work: Work) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    dice::seed_bytes(Some(1));
    for planned in [Crash::Before as fn(u32) -> Crash, Crash::After] {
        let mut survived = false;
        for request in 0..MAX_REQUESTS {
            survived = runtime.block_on(try_with(work, planned(request)));
            if survived {
                assert!(request > 10, "{work:?} makes only {request} requests");
                break;
            }
        }
        assert!(survived, "{work:?} makes more requests than were tried");
    }
    dice::seed_bytes(None);
}

#[test]
fn a_conversion_that_crashes_at_any_request_loses_nothing() {
    crash_everywhere(Work::Conversion);
}

#[test]
fn a_migration_that_crashes_at_any_request_loses_nothing_and_goes_on() {
    crash_everywhere(Work::Migration);
}

#[test]
fn a_deletion_that_crashes_at_any_request_loses_nothing_and_goes_on() {
    crash_everywhere(Work::Deletion);
}

#[test]
fn a_rotation_that_crashes_at_any_request_leaves_every_image_to_one_of_its_keys_and_goes_on() {
    crash_everywhere(Work::Rotation);
}
