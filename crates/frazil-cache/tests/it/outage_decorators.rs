//! Every decorator keeps the laws of a tier, alone and in the stack.

use std::sync::Arc;
use std::time::Duration;

use frazil_cache::conformance::{self, Damage, Recovery, Sample, Stage};
use frazil_cache::resilience::{
    BudgetOptions, Deadline, Health, Hedge, HedgeOptions, Limit, Retry, Slots, Watch,
};
use frazil_cache::stack::{self, OriginOptions};
use frazil_cache::{Memory, Tier};

use crate::origin::OnDisk;

/// Long past anything that is not a hang.
const LONG: Duration = Duration::from_secs(60);

/// The origin on a disk, with something over it.
struct Over {
    below: OnDisk,
    tier: Arc<dyn Tier>,
}

impl Over {
    async fn with(samples: &[Sample], decorate: impl Fn(Arc<dyn Tier>) -> Arc<dyn Tier>) -> Self {
        let below = OnDisk::with(samples).await;
        let tier = decorate(below.tier());
        Self { below, tier }
    }
}

impl Stage for Over {
    fn tier(&self) -> Arc<dyn Tier> {
        Arc::clone(&self.tier)
    }

    fn damage(&self, sample: &Sample, damage: &Damage) {
        self.below.damage(sample, damage);
    }

    fn repair(&self, sample: &Sample) {
        self.below.repair(sample);
    }

    fn recovery(&self) -> Recovery {
        Recovery::Refuses
    }
}

/// Options whose hedges come as early as they can, so that the laws are held against hedged answers too.
fn eager() -> HedgeOptions {
    HedgeOptions { quantile: 0.0, floor: Duration::ZERO, share: 1.0, burst: 100.0 }
}

fn quick() -> OriginOptions {
    let mut options = OriginOptions { hedge: eager(), seed: Some(1), ..OriginOptions::default() };
    options.retry.longest_pause = Duration::from_millis(2);
    options
}

type Decorate = fn(Arc<dyn Tier>) -> Arc<dyn Tier>;

#[tokio::test(flavor = "multi_thread")]
async fn every_decorator_keeps_the_laws_of_a_tier() {
    let decorators: [Decorate; 6] = [
        |below| Arc::new(Deadline::new(below, LONG)),
        |below| {
            let options = OriginOptions::default().retry;
            Arc::new(Retry::new(below, options, fastrand::Rng::with_seed(1)))
        },
        |below| Arc::new(Limit::new(below, Slots::new(2, 1000))),
        |below| Arc::new(Hedge::new(below, Slots::new(1000, 0), eager())),
        |below| Arc::new(Watch::new(below, Arc::new(Health::new()))),
        |below| stack::over(below, &quick()),
    ];
    for decorate in decorators {
        conformance::run(async |samples: &[Sample]| Over::with(samples, decorate).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_over_the_whole_stack_keeps_the_laws_of_faults() {
    conformance::run_over_faults(|below| {
        let mut options = quick();
        // A fault is to be seen by somebody.
        options.retry.attempts = 1;
        options.retry.budget = BudgetOptions { per_request: 0.0, per_second: 0.0, initial: 0.0, burst: 0.0 };
        options.hedge.share = 0.0;
        Arc::new(Memory::new(stack::over(below, &options), 1 << 30))
    })
    .await;
}

#[tokio::test]
async fn the_stack_prints_itself_from_the_top() {
    let stage = OnDisk::with(&[]).await;
    let printed = stack::over(stage.tier(), &OriginOptions::default()).to_string();
    let expected = "deadline(30s) → retry(12 attempts) → limit(64 + 1024 waiting) → hedge(after p95, 5 %) → \
        watch → deadline(5s) → origin(file://";
    assert!(printed.starts_with(expected), "{printed}");
}
