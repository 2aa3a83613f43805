//! A collection, from top to bottom.

use std::time::Duration;

use frazil_format::RootId;

use super::census::Census;
use super::migrate::{self, Target};
use super::policy::Policy;
use super::report::{Deletion, Report, Step};
use super::{carry, delete, starters};
use crate::mutation::{self, Mutation};
use crate::roots::{Clock, RootStatus, StoreTime};
use crate::{RootState, Store, StoreError};

/// Whether a collection does anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intent {
    /// It only says what it would do, by this machine's clock, and writes nothing.
    Plan,
    /// It takes the steps.
    Run,
}

impl Intent {
    fn clock(self) -> Clock {
        match self {
            Self::Plan => Clock::Machine,
            Self::Run => Clock::Store,
        }
    }
}

/// Drives every root as far as the policy lets it get.
///
/// # Errors
/// Those of the store. What was done until then is done; the next collection goes on.
pub async fn collect(store: &Store, policy: &Policy, intent: Intent) -> Result<Report, StoreError> {
    let mut collection = Collection {
        store,
        policy,
        intent,
        now: store.time(intent.clock()).await?,
        roots: store.root_statuses().await?,
        report: Report::default(),
    };

    // A new root when the youngest is old enough, and the older ones retired when it has been there for a while.
    let young = collection.grow().await?;
    collection.retire().await?;

    // What every name refers to. The census begins after everything that is to be retired is.
    let mut census = Census::take(store, intent.clock()).await?;
    collection.report.problems.extend(census.damaged.iter().cloned());

    // No claim on a root that is not active ever becomes a reference.
    let inactive: Vec<RootId> = collection
        .roots
        .iter()
        .filter(|status| status.state != RootState::Active)
        .map(|status| status.root)
        .collect();
    match intent {
        Intent::Plan => census.forget_claims(&inactive),
        Intent::Run => census.break_claims(store, &inactive).await?,
    }

    // What is retired: what names refer to copied forward, and then expired when it is time.
    collection.migrate(&mut census, young).await?;
    collection.expire(&census).await?;

    // What is expired: deleted when it is time, unless somebody still reads it. What was deleted: swept again.
    collection.delete(&census).await?;

    // The starters of names that are gone.
    if intent == Intent::Run
        && let Err(error) = starters::sweep(store, &census).await
    {
        collection.report.problems.push(format!("starters of names that are gone may stay: {error}"));
    }
    Ok(collection.report)
}

struct Collection<'a> {
    store: &'a Store,
    policy: &'a Policy,
    intent: Intent,
    now: StoreTime,
    roots: Vec<RootStatus>,
    report: Report,
}

impl Collection<'_> {
    fn of_state(&self, state: RootState) -> Vec<RootStatus> {
        self.roots.iter().copied().filter(|status| status.state == state).collect()
    }

    /// Notes what a step came to, or would.
    fn moved(&mut self, root: RootId, state: RootState) {
        for status in self.roots.iter_mut().filter(|status| status.root == root) {
            (status.state, status.since_ms) = (state, self.now.ms());
        }
    }

    /// Makes a root if it is time; returns it if it does not exist yet because this is a plan.
    async fn grow(&mut self) -> Result<Option<RootId>, StoreError> {
        let youngest = self.of_state(RootState::Active).pop();
        if youngest.is_some_and(|status| status.age(self.now) < self.policy.new_after) {
            return Ok(None);
        }
        let root = match self.intent {
            Intent::Run => self.store.new_root().await?,
            Intent::Plan => {
                let last = self.roots.last().map_or(0, |status| status.root.number());
                RootId::from_number(last.saturating_add(1))
            }
        };
        self.report.steps.push(Step::New { root });
        self.roots.push(RootStatus { root, state: RootState::Active, since_ms: self.now.ms() });
        Ok((self.intent == Intent::Plan).then_some(root))
    }

    async fn retire(&mut self) -> Result<(), StoreError> {
        let mut active = self.of_state(RootState::Active);
        let Some(youngest) = active.pop() else { return Ok(()) };
        let left = self.policy.retire_after.saturating_sub(youngest.age(self.now));
        for RootStatus { root, .. } in active {
            if !left.is_zero() {
                self.wait(root, "retire", left);
                continue;
            }
            if self.intent == Intent::Run {
                let step = self.store.advance(root, &[RootState::Active], RootState::Retired).await;
                if !advanced(step)? {
                    continue;
                }
            }
            self.report.steps.push(Step::Retire { root });
            self.moved(root, RootState::Retired);
        }
        Ok(())
    }

    async fn migrate(&mut self, census: &mut Census, young: Option<RootId>) -> Result<(), StoreError> {
        let retired = self.of_state(RootState::Retired);
        let Some(youngest) = self.of_state(RootState::Active).pop() else { return Ok(()) };
        if retired.is_empty() {
            return Ok(());
        }
        let mut target = None;
        for RootStatus { root, .. } in retired {
            if !census.entries.iter().any(|entry| entry.refers_to(root)) {
                continue;
            }
            let target = match &mut target {
                Some(target) => target,
                none if young == Some(youngest.root) => none.insert(Target::empty(youngest.root)),
                none => none.insert(Target::list(self.store, youngest.root).await?),
            };
            let mut migration =
                migrate::migrate(self.store, root, target, &mut census.entries, self.intent).await?;
            migration.layer_indexes = carry::layer_indexes(self.store, root, target, self.intent).await?;
            let broken = migration.images.iter().filter_map(|image| {
                let reason = image.broken.as_ref()?;
                Some(format!("{} of tenant {} stays in root {root}: {reason}", image.name, image.tenant))
            });
            self.report.problems.extend(broken);
            self.report.steps.push(Step::Migrate(migration));
        }
        Ok(())
    }

    async fn expire(&mut self, census: &Census) -> Result<(), StoreError> {
        for RootStatus { root, since_ms, .. } in self.of_state(RootState::Retired) {
            // Measured up to when the census began: it must not have begun too soon for a late listing.
            let left = self.policy.expire_after.saturating_sub(census.taken.since(since_ms));
            if !left.is_zero() {
                self.wait(root, "expire", left);
                continue;
            }
            if let Err(reason) = unused(census, root) {
                self.blocked(root, "expire", &reason);
                continue;
            }
            if self.intent == Intent::Run {
                let step = self.store.advance(root, &[RootState::Retired], RootState::Expired).await;
                if !advanced(step)? {
                    continue;
                }
            }
            self.report.steps.push(Step::Expire { root });
            self.moved(root, RootState::Expired);
        }
        Ok(())
    }

    async fn delete(&mut self, census: &Census) -> Result<(), StoreError> {
        for status in self.of_state(RootState::Expired) {
            let left = self.policy.delete_after.saturating_sub(status.age(self.now));
            if left.is_zero() {
                self.delete_one(census, status).await?;
            } else {
                self.wait(status.root, "delete", left);
            }
        }
        for status in self.of_state(RootState::Deleted) {
            // Deleted just now, or before: what a deletion that was cut short, or a late writer, left.
            let is_done = self
                .report
                .steps
                .iter()
                .any(|step| matches!(step, Step::Delete(deletion) if deletion.root == status.root));
            if !is_done && !delete::is_swept(self.store, status.root).await? {
                self.delete_one(census, status).await?;
            }
        }
        Ok(())
    }

    async fn delete_one(&mut self, census: &Census, status: RootStatus) -> Result<(), StoreError> {
        let root = status.root;
        let permitted = match unused(census, root) {
            Ok(()) if mutation::is(Mutation::NoAlarm) => Ok(()),
            Ok(()) => self.store.require_quiet(self.policy.quiet, self.intent.clock()).await,
            Err(error) => Err(error),
        };
        match permitted {
            Ok(()) => {}
            Err(
                error @ (StoreError::AlarmStands { .. }
                | StoreError::RootInUse { .. }
                | StoreError::UnreadableName { .. }
                // Of the alarm's record.
                | StoreError::Damaged { .. }),
            ) => {
                self.blocked(root, "delete", &error);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let deletion = match self.intent {
            Intent::Plan => delete::plan(self.store, root).await?,
            Intent::Run => match delete(self.store, status, self.policy).await {
                Ok(deletion) => deletion,
                // Raised since it began: what is left stays.
                Err(error @ StoreError::AlarmStands { .. }) => {
                    self.blocked(root, "delete", &error);
                    return Ok(());
                }
                Err(StoreError::Contended { .. } | StoreError::BadTransition { .. }) => return Ok(()),
                Err(error) => return Err(error),
            },
        };
        self.report.steps.push(Step::Delete(deletion));
        self.moved(root, RootState::Deleted);
        Ok(())
    }

    fn wait(&mut self, root: RootId, next: &'static str, left: Duration) {
        self.report.steps.push(Step::Wait { root, next, in_s: left.as_secs() });
    }

    fn blocked(&mut self, root: RootId, next: &'static str, reason: &StoreError) {
        self.report.problems.push(format!("root {root} cannot {next}: {reason}"));
        self.report.steps.push(Step::Blocked { root, next, reason: reason.to_string() });
    }
}

/// Whether a root was moved; if somebody else was faster, it was not, and the root is theirs to deal with.
fn advanced(moved: Result<(), StoreError>) -> Result<bool, StoreError> {
    match moved {
        Ok(()) => Ok(true),
        Err(StoreError::Contended { .. } | StoreError::BadTransition { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// An error unless a census shows that no name refers to the root.
fn unused(census: &Census, root: RootId) -> Result<(), StoreError> {
    if mutation::is(Mutation::NoCensus) {
        return Ok(());
    }
    if let Some(damaged) = census.damaged.first() {
        return Err(StoreError::UnreadableName { problem: damaged.clone() });
    }
    match census.users(root) {
        None => Ok(()),
        Some((count, example)) => Err(StoreError::RootInUse { root, count, example }),
    }
}

async fn delete(store: &Store, status: RootStatus, policy: &Policy) -> Result<Deletion, StoreError> {
    if status.state != RootState::Deleted {
        store.advance(status.root, &[RootState::Expired], RootState::Deleted).await?;
    }
    delete::sweep(store, status.root, policy).await
}

/// Expires a retired root by hand.
///
/// # Errors
/// [`StoreError::TooSoon`] if it was retired less than `after` ago; [`StoreError::RootInUse`] if names refer to it.
pub async fn expire_root(store: &Store, root: RootId, after: Duration) -> Result<(), StoreError> {
    let status = status_of(store, root, &[RootState::Retired], RootState::Expired).await?;
    let mut census = Census::take(store, Clock::Store).await?;
    old_enough(status, census.taken, after)?;
    census.break_claims(store, &[root]).await?;
    unused(&census, root)?;
    store.advance(root, &[RootState::Retired], RootState::Expired).await
}

/// Deletes an expired root by hand, or goes on with a deletion.
///
/// # Errors
/// [`StoreError::TooSoon`] if it expired less than `after` ago; [`StoreError::AlarmStands`].
pub async fn delete_root(
    store: &Store,
    root: RootId,
    after: Duration,
    policy: &Policy,
    intent: Intent,
) -> Result<Deletion, StoreError> {
    let from = [RootState::Expired, RootState::Deleted];
    let status = status_of(store, root, &from, RootState::Deleted).await?;
    let census = Census::take(store, intent.clock()).await?;
    old_enough(status, census.taken, after)?;
    unused(&census, root)?;
    store.require_quiet(policy.quiet, intent.clock()).await?;
    match intent {
        Intent::Plan => delete::plan(store, root).await,
        Intent::Run => delete(store, status, policy).await,
    }
}

async fn status_of(
    store: &Store,
    root: RootId,
    expected: &[RootState],
    wanted: RootState,
) -> Result<RootStatus, StoreError> {
    let found = store.find_root(root).await?.ok_or(StoreError::NoSuchRoot { root })?;
    let state = found.record.state;
    if !expected.contains(&state) {
        return Err(StoreError::BadTransition { root, state, wanted });
    }
    Ok(RootStatus { root, state, since_ms: found.written_ms })
}

fn old_enough(status: RootStatus, now: StoreTime, needed: Duration) -> Result<(), StoreError> {
    let age = status.age(now);
    if age >= needed || status.state == RootState::Deleted {
        return Ok(());
    }
    Err(StoreError::TooSoon { root: status.root, state: status.state, age, needed })
}
