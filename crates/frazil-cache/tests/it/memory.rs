//! The memory tier: its laws, its budget, its scans.

use std::sync::Arc;

use frazil_cache::conformance::{self, Damage, Recovery, Sample, Stage};
use frazil_cache::{Memory, Tier};
use futures::future::join_all;

use crate::origin::OnDisk;
use crate::stages::{below, chunks, read_all};

/// Memory over an origin whose files are damaged.
struct OverOrigin {
    origin: OnDisk,
    memory: Arc<Memory>,
    recovery: Recovery,
}

impl OverOrigin {
    async fn with(samples: &[Sample], budget_bytes: u64, recovery: Recovery) -> Self {
        let origin = OnDisk::with(samples).await;
        let memory = Arc::new(Memory::new(origin.tier(), budget_bytes));
        Self { origin, memory, recovery }
    }
}

impl Stage for OverOrigin {
    fn tier(&self) -> Arc<dyn Tier> {
        Arc::clone(&self.memory) as Arc<dyn Tier>
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
async fn memory_keeps_the_laws_of_a_tier_and_answers_for_a_damaged_origin() {
    conformance::run(async |samples: &[Sample]| OverOrigin::with(samples, 64 << 20, Recovery::Heals).await)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_without_a_budget_keeps_the_laws_and_nothing_else() {
    conformance::run(async |samples: &[Sample]| OverOrigin::with(samples, 0, Recovery::Refuses).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_outlives_faults_below() {
    conformance::run_over_faults(|below| Arc::new(Memory::new(below, 64 << 20))).await;
}

#[tokio::test]
async fn memory_prints_the_stack() {
    let stage = OverOrigin::with(&[], 64 << 20, Recovery::Heals).await;
    assert_eq!(stage.tier().to_string(), format!("memory(64 MiB) → {}", stage.origin.tier()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_holds_while_many_read_through_it() {
    let samples = chunks(0..400, 20_000);
    let budget = 50 * Memory::cost_of(20_017);
    let memory = Arc::new(Memory::new(below(&samples), budget));
    let readers = (0..8_usize).map(|reader| {
        let (memory, samples) = (Arc::clone(&memory), samples.clone());
        tokio::spawn(async move {
            for index in 0..samples.len() {
                let sample = &samples[(index * 7 + reader * 50) % samples.len()];
                read_all(memory.as_ref(), std::slice::from_ref(sample)).await;
                assert!(memory.counts().bytes <= budget);
            }
        })
    });
    join_all(readers).await.into_iter().for_each(Result::unwrap);
    let counts = memory.counts();
    assert_eq!((counts.chunks, counts.bytes), (50, budget), "it is full, and no fuller");
    assert_eq!(counts.fetches - counts.evictions, 50);
}

#[tokio::test]
async fn a_nightly_scan_of_many_images_leaves_the_hot_base_in_memory() {
    let (base, scan) = (chunks(0..50, 4000), chunks(1000..3000, 4000));
    let all: Vec<_> = base.iter().chain(&scan).cloned().collect();
    let origin = below(&all);
    let memory = Memory::new(origin.clone(), 100 * Memory::cost_of(4017));
    read_all(&memory, &base).await;
    read_all(&memory, &base).await;
    read_all(&memory, &scan).await;
    let before = origin.fetches();
    read_all(&memory, &base).await;
    assert_eq!(origin.fetches(), before, "no base chunk is fetched again");
}

#[tokio::test]
async fn a_chunk_larger_than_the_budget_passes_through_and_evicts_nothing() {
    let (small, large) = (chunks(0..3, 4000), chunks(9..10, 1 << 20));
    let all: Vec<_> = small.iter().chain(&large).cloned().collect();
    let origin = below(&all);
    let memory = Memory::new(origin.clone(), 3 * Memory::cost_of(4017));
    read_all(&memory, &small).await;
    read_all(&memory, &large).await;
    read_all(&memory, &large).await;
    read_all(&memory, &small).await;
    assert_eq!(origin.fetches(), 5);
    assert_eq!(memory.counts().chunks, 3);
}

#[tokio::test]
async fn a_short_part_of_a_large_buffer_is_kept_without_the_buffer() {
    use bytes::Bytes;
    use frazil_format::SealedChunk;
    let [sample] = <[Sample; 1]>::try_from(chunks(0..1, 1000)).unwrap();
    let mut buffer = vec![0; 1 << 20];
    buffer[..sample.chunk.len()].copy_from_slice(sample.chunk.bytes());
    let buffer = Bytes::from(buffer);
    let part = SealedChunk::verify(&sample.wanted.id, buffer.slice(..sample.chunk.len())).unwrap();
    let origin = below(&[Sample { wanted: sample.wanted, chunk: part }]);
    let memory = Memory::new(origin.clone(), 1 << 20);
    read_all(&memory, std::slice::from_ref(&sample)).await;
    let kept = memory.get(&sample.wanted).await.unwrap();
    assert!(!buffer.as_ptr_range().contains(&kept.chunk.bytes().as_ptr()), "the buffer is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn to_ask_whether_a_chunk_is_there_keeps_it_no_longer() {
    let samples = chunks(0..40, 20_000);
    let new = || Memory::new(below(&samples), 10 * Memory::cost_of(20_017));
    let (asked, left_alone) = (new(), new());
    for sample in &samples {
        for memory in [&asked, &left_alone] {
            read_all(memory, std::slice::from_ref(sample)).await;
        }
        // The same ones ever again, as many starts of an image do.
        for favourite in samples.iter().step_by(3) {
            asked.has(&favourite.wanted);
        }
    }
    let kept = |memory: &Memory| samples.iter().map(|sample| memory.has(&sample.wanted)).collect::<Vec<_>>();
    assert_eq!(kept(&asked), kept(&left_alone));
}
