//! A crash before and after every single request of a conversion, a migration and a deletion; then a restart.

use std::sync::Arc;
use std::time::Duration;

use super::actors::convert_into;
use super::dice;
use super::images::Content;
use super::objects::{Crash, SimulatedStore, Weather};
use super::world::World;
use crate::gc::{self, Intent, Policy};
use crate::{RootState, Store};

/// More requests than any of the works makes.
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
}

impl Work {
    /// What the store is like before.
    async fn prepare(self, world: &Arc<World>, store: &Store) {
        for (tenant, name, serial) in [("a", "app", 1), ("b", "db", 2), ("b", "app", 3)] {
            let content = Content((0..6).map(|chunk| chunk * serial as u32).collect());
            let name = name.parse().unwrap();
            convert_into(world, store, tenant, &name, &content, serial).await.unwrap();
        }
        if self != Self::Conversion {
            store.new_root().await.unwrap();
        }
        // Longer than any listing is late.
        tokio::time::sleep(SETTLED).await;
        if self == Self::Deletion {
            for _ in 0..2 {
                gc::collect(store, &AT_ONCE, Intent::Run).await.unwrap();
                tokio::time::sleep(AT_ONCE.delete_after + SETTLED).await;
            }
        }
    }

    async fn run(self, world: &Arc<World>, store: &Store) {
        let done = match self {
            Self::Conversion => {
                let content = Content(vec![1, 2, 50, 51]);
                convert_into(world, store, "a", &"app".parse().unwrap(), &content, 9).await
            }
            Self::Migration | Self::Deletion => gc::collect(store, &AT_ONCE, Intent::Run).await.map(drop),
        };
        done.unwrap();
    }

    /// What must have come of it at last.
    async fn is_done(self, store: &Store) -> bool {
        let names = [store.names("a").await.unwrap(), store.names("b").await.unwrap()].concat();
        assert_eq!(names.len(), 3);
        let first = store.roots().await.unwrap()[0].1;
        match self {
            Self::Conversion => first == RootState::Active,
            Self::Migration => names.iter().all(|(_, reference)| reference.root.number() == 2),
            Self::Deletion => first == RootState::Deleted,
        }
    }
}

/// Whether the work ended before the crash came.
async fn try_with(work: Work, crash: Crash) -> bool {
    let world = World::new(1, false);
    let calm = SimulatedStore::new(&world, "calm", Weather::CALM);
    let store = Store::over(Arc::new(calm)).await.unwrap();
    work.prepare(&world, &store).await;

    let mut doomed = SimulatedStore::new(&world, "doomed", Weather::CALM);
    doomed.planned = Some(crash);
    let crashed = Arc::clone(&doomed.crash);
    let survived = tokio::select! {
        biased;
        () = crashed.notified() => false,
        () = async {
            let store = Store::over(Arc::new(doomed)).await.unwrap();
            work.run(&world, &store).await;
        } => true,
    };
    assert_eq!(world.verdict(), None, "{work:?}, {crash:?}");

    tokio::time::sleep(SETTLED).await;
    work.run(&world, &store).await;
    assert!(work.is_done(&store).await, "{work:?}, {crash:?}");
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
