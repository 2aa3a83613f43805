//! Through the socket a tier is as good as before it.

use std::sync::Arc;

use frazil_cache::conformance::{self, Damage, Recovery, Sample, Stage};
use frazil_cache::host::{HostCache, HostCacheOptions};
use frazil_cache::{Memory, Tier};

use super::stand::Through;
use crate::origin::OnDisk;

/// A host cache over an origin, with or without memory between.
struct OverOrigin {
    origin: OnDisk,
    through: Arc<Through>,
    recovery: Recovery,
}

impl OverOrigin {
    async fn with(samples: &[Sample], budget_bytes: u64, recovery: Recovery) -> Self {
        let origin = OnDisk::with(samples).await;
        let memory = Arc::new(Memory::new(origin.tier(), budget_bytes));
        Self { origin, through: Arc::new(Through::new(memory)), recovery }
    }
}

impl Stage for OverOrigin {
    fn tier(&self) -> Arc<dyn Tier> {
        Arc::clone(&self.through) as Arc<dyn Tier>
    }

    fn damage(&self, sample: &Sample, damage: &Damage) {
        self.origin.damage(sample, damage);
    }

    fn repair(&self, sample: &Sample) {
        self.origin.repair(sample);
    }

    fn recovery(&self) -> Recovery {
        self.recovery
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_keeps_the_laws_of_a_tier() {
    conformance::run(async |samples: &[Sample]| OverOrigin::with(samples, 0, Recovery::Refuses).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_keeps_the_laws_over_memory() {
    conformance::run(async |samples: &[Sample]| OverOrigin::with(samples, 64 << 20, Recovery::Heals).await)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_outlives_faults_below() {
    conformance::run_over_faults(|below| Arc::new(Through::new(Arc::new(Memory::new(below, 64 << 20)))))
        .await;
}

#[test]
fn a_host_cache_prints_its_socket() {
    let agent = HostCache::new("/run/frazil/cached.sock", HostCacheOptions::default());
    assert_eq!(agent.to_string(), "host-cache(/run/frazil/cached.sock)");
}
