//! The users of the store in a schedule: converters, readers, collectors, a person who removes names, and an
//! operator whose decisions are wrong now and then. All of them go through the code that ships.

use std::sync::Arc;
use std::time::Duration;

use super::images::{self, Content};
use super::objects::{SimulatedStore, Weather};
use super::world::World;
use crate::gc::{self, Intent, Policy};
use crate::roots::watch::WINDOW;
use crate::{AlarmState, ImageName, Reference, RootState, Store, StoreError};

const MINUTE: Duration = Duration::from_secs(60);

/// The whole life of a root in three quarters of an hour. A listing is a minute late at the most, and a
/// reader's look at its root a few minutes.
pub(super) const POLICY: Policy = Policy {
    new_after: Duration::from_secs(15 * 60),
    retire_after: MINUTE,
    expire_after: Duration::from_secs(8 * 60),
    delete_after: Duration::from_secs(20 * 60),
    quiet: Duration::from_secs(20 * 60),
    deletions_per_second: 1000,
};

/// How long a schedule is.
pub(super) const LENGTH: Duration = Duration::from_secs(80 * 60);

const TENANTS: [&str; 2] = ["a", "b"];
const NAMES: [&str; 2] = ["app", "db"];

/// The most conversions that one converter does again because its root was retired.
const MAX_ROOTS_TRIED: u32 = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    Converter,
    Reader,
    Collector,
    Remover,
    Operator,
}

impl Role {
    fn weather(self) -> Weather {
        match self {
            // Its requests may take longer to arrive than a root lives.
            Self::Converter | Self::Remover => {
                Weather { fails: 15, crashes: 8, stalls: 8, longest_stall: LENGTH }
            }
            Self::Collector => Weather { fails: 8, crashes: 4, stalls: 4, longest_stall: MINUTE * 50 },
            // A machine that sleeps for longer than a root stays expired finds its image gone: that is promised to nobody.
            Self::Reader => Weather { fails: 30, crashes: 2, stalls: 5, longest_stall: MINUTE },
            Self::Operator => Weather { fails: 10, crashes: 0, stalls: 0, longest_stall: MINUTE },
        }
    }
}

/// One process after the other on one machine: each lives until it crashes.
pub(super) async fn machine(world: Arc<World>, role: Role, actor: &'static str) {
    loop {
        let inner = SimulatedStore::new(&world, actor, role.weather());
        let crash = Arc::clone(&inner.crash);
        let work = async {
            // Opening the store may fail too.
            while world.verdict().is_none() {
                let inner = Arc::new(inner.clone());
                if let Ok(store) = Store::over(inner).await {
                    work(&world, role, &store).await;
                }
                pause(&world, MINUTE, MINUTE * 2).await;
            }
        };
        tokio::select! {
            biased;
            () = crash.notified() => {}
            () = work => return,
        }
        pause(&world, Duration::from_secs(1), MINUTE * 3).await;
    }
}

async fn work(world: &Arc<World>, role: Role, store: &Store) {
    // An error ends this piece of work, as it ends a command; the next one begins with a new process.
    let outcome = match role {
        Role::Converter => convert(world, store).await,
        Role::Reader => read(world, store).await,
        Role::Collector => {
            pause(world, MINUTE, MINUTE * 9).await;
            gc::collect(store, &POLICY, Intent::Run).await.map(drop)
        }
        Role::Remover => {
            pause(world, MINUTE * 10, MINUTE * 40).await;
            let (tenant, name) = any_name(world);
            store.unpublish(tenant, &name).await.map(drop)
        }
        Role::Operator => operate(world, store).await,
    };
    if let Err(error) = outcome {
        world.note("", ("error", ""), &error.to_string());
    }
}

async fn pause(world: &World, shortest: Duration, longest: Duration) {
    let pause = world.with_dice(|dice| dice.between(shortest, longest));
    tokio::time::sleep(pause).await;
}

fn any_name(world: &World) -> (&'static str, ImageName) {
    let (tenant, name) = world.with_dice(|dice| (dice.below(2), dice.below(2)));
    (TENANTS[tenant as usize], NAMES[name as usize].parse().unwrap())
}

/// What a conversion does to a store, in its order: chunks, layer index, manifest, name.
async fn convert(world: &Arc<World>, store: &Store) -> Result<(), StoreError> {
    pause(world, Duration::from_secs(5), MINUTE * 12).await;
    let (tenant, name) = any_name(world);
    // Two base layers, and something of its own.
    let content = world.with_dice(|dice| {
        let base = 10 * dice.below(2);
        Content(vec![base, base + 1, base + 2, 100 + dice.below(4)])
    });
    for _ in 0..MAX_ROOTS_TRIED {
        let serial = world.with_dice(|dice| u64::from(dice.below(u32::MAX)));
        match convert_into(world, store, tenant, &name, &content, serial).await {
            Err(StoreError::RootNotActive { .. }) => {}
            ended => return ended,
        }
    }
    Ok(())
}

pub(super) async fn convert_into(
    world: &Arc<World>,
    store: &Store,
    tenant: &str,
    name: &ImageName,
    content: &Content,
    serial: u64,
) -> Result<(), StoreError> {
    let root = store.active_root().await?;
    let image = images::seal(root, tenant, name.as_str(), content, serial);
    let chunks = image.chunks.iter().map(|sealed| (sealed.id.to_string(), sealed.chunk.len()));
    world.know(&image.id, chunks.collect());
    for sealed in &image.chunks {
        store.put_chunk(root, &sealed.id, &sealed.chunk).await?;
    }
    store.sync().await?;
    store.put_manifest(root, &image.id, image.manifest.into()).await?;
    store.publish(tenant, name, Reference { root, manifest: image.id }).await
}

/// A mounted image: it says that it is mounted once in every window, and reads now and then.
async fn read(world: &Arc<World>, store: &Store) -> Result<(), StoreError> {
    pause(world, Duration::from_secs(5), MINUTE * 10).await;
    let (tenant, name) = any_name(world);
    let Some(reference) = store.reference(tenant, &name).await? else { return Ok(()) };
    let hold = world.hold(reference.root, reference.manifest);
    // Most are functions; some stay until somebody ends them.
    let stays = world.with_dice(|dice| dice.permille(400));
    let end = if stays { LENGTH } else { world.with_dice(|dice| dice.between(MINUTE, MINUTE * 8)) };
    let end = world.elapsed() + end;
    while world.elapsed() < end && !world.is_told_to_end(reference.root) {
        store.in_use(reference.root).await;
        tokio::time::sleep(WINDOW).await;
    }
    drop(hold);
    Ok(())
}

/// A person: expires and deletes by hand what looks old, makes roots, and clears alarms, sometimes without having
/// looked into them.
async fn operate(world: &Arc<World>, store: &Store) -> Result<(), StoreError> {
    pause(world, MINUTE * 2, MINUTE * 15).await;
    if let Some((alarm, _)) = store.alarm().await?
        && alarm.state == AlarmState::Raised
    {
        if world.with_dice(|dice| dice.permille(700)) {
            world.tell_readers_to_end(alarm.root);
            pause(world, MINUTE * 3, MINUTE * 4).await;
        }
        return store.clear_alarm().await.map(drop);
    }
    let roots = store.root_statuses().await?;
    let Some(last) = roots.len().checked_sub(1) else { return Ok(()) };
    let status = roots[world.with_dice(|dice| dice.below(1 + last as u32)) as usize];
    match status.state {
        RootState::Active if world.with_dice(|dice| dice.permille(300)) => store.new_root().await.map(drop),
        RootState::Active => store.retire_root(status.root).await,
        RootState::Retired => gc::expire_root(store, status.root, POLICY.expire_after).await,
        RootState::Expired if world.with_dice(|dice| dice.permille(300)) => {
            store.retire_root(status.root).await
        }
        RootState::Expired | RootState::Deleted => {
            gc::delete_root(store, status.root, POLICY.delete_after, &POLICY, Intent::Run).await.map(drop)
        }
    }
}
