//! Faults below a tier that caches: before the fetch took effect, after it, and fetches that never end.
//!
//! [`run_over_faults`] holds a tier to the laws that a fault must not break: at most one reader sees the
//! error, it is not remembered, and it is nobody else's.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use frazil_format::SealedChunk;
use futures::future::join_all;
use tokio::sync::Semaphore;

use super::{READERS, Sample, assert_right, get_error, samples};
use crate::{ErrorClass, Served, Tier, TierError, Wanted};

/// Long past anything that is not a hang.
const HANGS: Duration = Duration::from_secs(60);

/// What a fetch meets with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It fails before anything was asked.
    Before,
    /// It was answered, and the answer got lost.
    After,
    /// It gets its answer only when [`FaultyTier::release`] lets it go.
    Stuck,
    /// It panics.
    Panic,
}

/// A tier with known chunks, and faults as ordered.
#[derive(Debug)]
pub struct FaultyTier {
    chunks: HashMap<Wanted, SealedChunk>,
    faults: Mutex<VecDeque<Fault>>,
    fetches: AtomicU64,
    gate: Semaphore,
}

impl FaultyTier {
    /// A tier that has these chunks.
    pub fn new(samples: &[Sample]) -> Self {
        Self {
            chunks: samples.iter().map(|sample| (sample.wanted, sample.chunk.clone())).collect(),
            faults: Mutex::default(),
            fetches: AtomicU64::new(0),
            gate: Semaphore::new(0),
        }
    }

    /// The next fetches meet with these, one each.
    pub fn order(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).extend(faults);
    }

    /// Lets one stuck fetch go.
    pub fn release(&self) {
        self.gate.add_permits(1);
    }

    /// How often it was asked.
    pub fn fetches(&self) -> u64 {
        self.fetches.load(Ordering::SeqCst)
    }

    fn failed(&self, wanted: &Wanted, when: &str) -> TierError {
        let source = Arc::new(std::io::Error::other(format!("a fault {when} the fetch")));
        TierError::Transient { id: wanted.id, tier: self.to_string(), source }
    }
}

#[async_trait]
impl Tier for FaultyTier {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let fault = self.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        match fault {
            Some(Fault::Before) => return Err(self.failed(wanted, "before")),
            Some(Fault::Panic) => panic!("ordered by a test"),
            Some(Fault::Stuck) => self.gate.acquire().await.expect("the gate is never closed").forget(),
            Some(Fault::After) | None => {}
        }
        let known = self.chunks.get(wanted).cloned();
        let chunk = known.ok_or_else(|| {
            let (Wanted { root, id, .. }, tier) = (*wanted, self.to_string());
            TierError::NotFound { id, root, tier }
        })?;
        if fault == Some(Fault::After) {
            Err(self.failed(wanted, "after"))
        } else {
            Ok(Served::by_origin(chunk))
        }
    }
}

impl fmt::Display for FaultyTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

/// Runs every law of faults on a caching tier that keeps at least an ordinary chunk.
///
/// # Panics
/// When the tier breaks one.
pub async fn run_over_faults(over: impl Fn(Arc<FaultyTier>) -> Arc<dyn Tier>) {
    let samples = samples();
    for fault in [Fault::Before, Fault::After, Fault::Panic] {
        let below = Arc::new(FaultyTier::new(&samples));
        let tier = over(Arc::clone(&below));
        a_fault_is_not_remembered(&tier, &below, &samples, fault).await;
        a_fault_of_one_chunk_is_no_other_chunks(&tier, &below, &samples, fault).await;
    }
    let laws = Arc::new(FaultyTier::new(&samples));
    one_fetch_answers_all(&over(Arc::clone(&laws)), &laws, &samples).await;
    let laws = Arc::new(FaultyTier::new(&samples));
    hits_do_not_wait_behind_a_stuck_fetch(&over(Arc::clone(&laws)), &laws, &samples).await;
}

async fn a_fault_is_not_remembered(
    tier: &Arc<dyn Tier>,
    below: &FaultyTier,
    samples: &[Sample],
    fault: Fault,
) {
    for sample in samples {
        below.order([fault, fault]);
        for _ in 0..2 {
            let error = get_error(tier, &sample.wanted).await;
            assert_eq!(error.class(), ErrorClass::Transient, "{error}");
            assert!(error.to_string().contains(&sample.wanted.id.to_string()), "{error}");
        }
        assert_right(tier, sample).await;
        assert_right(tier, sample).await;
    }
}

async fn a_fault_of_one_chunk_is_no_other_chunks(
    tier: &Arc<dyn Tier>,
    below: &FaultyTier,
    samples: &[Sample],
    fault: Fault,
) {
    let unknown = Wanted { root: frazil_format::RootId::from_number(9), ..first(samples).wanted };
    below.order([fault]);
    get_error(tier, &unknown).await;
    join_all(samples.iter().map(|sample| assert_right(tier, sample))).await;
}

async fn one_fetch_answers_all(tier: &Arc<dyn Tier>, below: &Arc<FaultyTier>, samples: &[Sample]) {
    let sample = first(samples);
    below.order([Fault::Stuck]);
    let mut readers: Vec<_> = (0..READERS).map(|_| spawn_reader(tier, sample)).collect();
    // The first to come started the fetch, and gives up.
    until(|| below.fetches() == 1).await;
    let first = readers.remove(0);
    first.abort();
    let _ = first.await;
    below.release();
    for reader in readers {
        tokio::time::timeout(HANGS, reader).await.expect("a reader hangs").expect("a reader gets the chunk");
    }
    assert_eq!(below.fetches(), 1, "many readers, one fetch");
}

async fn hits_do_not_wait_behind_a_stuck_fetch(
    tier: &Arc<dyn Tier>,
    below: &Arc<FaultyTier>,
    samples: &[Sample],
) {
    let [cached, other, ..] = samples else { panic!("a suite has samples") };
    assert_right(tier, cached).await;
    below.order([Fault::Stuck]);
    let waiting = spawn_reader(tier, other);
    until(|| below.fetches() == 2).await;
    for _ in 0..READERS {
        tokio::time::timeout(HANGS, assert_right(tier, cached)).await.expect("a hit waits for another fetch");
    }
    assert_eq!(below.fetches(), 2, "hits ask nobody");
    below.release();
    tokio::time::timeout(HANGS, waiting).await.expect("a reader hangs").expect("a reader gets the chunk");
}

fn first(samples: &[Sample]) -> &Sample {
    samples.first().expect("a suite has samples")
}

fn spawn_reader(tier: &Arc<dyn Tier>, sample: &Sample) -> tokio::task::JoinHandle<()> {
    let (tier, sample) = (Arc::clone(tier), sample.clone());
    tokio::spawn(async move { assert_right(&tier, &sample).await })
}

async fn until(condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(HANGS, waited).await.expect("it never happens");
}
