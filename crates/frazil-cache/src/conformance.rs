//! The suite that every tier must pass, alone and in every stack.
//!
//! A tier's own tests put it on a [`Stage`] and call [`run`]. The laws are those of [`Tier`]: right bytes, or an
//! error that says what is wrong; whatever lies under a chunk's name.

mod faults;

use std::sync::Arc;

use bytes::Bytes;
use frazil_format::{ChunkId, Compression, Payload, RootId, ScopeSecret, SealedChunk, Sealer};
use futures::future::join_all;

use crate::{ErrorClass, Tier, TierError, Wanted};

pub use faults::{Fault, FaultyTier, run_over_faults};

/// How many readers want one chunk at once.
const READERS: usize = 32;

/// A chunk that the tier can answer for.
#[derive(Clone, Debug)]
pub struct Sample {
    /// How it is asked for.
    pub wanted: Wanted,
    /// The right answer.
    pub chunk: SealedChunk,
}

/// What happens to the bytes that a tier keeps under a chunk's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Damage {
    /// One bit flips, this many bytes from the start.
    FlippedBit(usize),
    /// Only this many bytes are left.
    Truncated(usize),
    /// Bytes that nobody wrote follow the right ones.
    Grown(usize),
    /// All bytes are zero.
    Zeroed,
    /// They are the bytes of another chunk.
    Swapped(Bytes),
}

impl Damage {
    /// These bytes, damaged.
    pub fn of(&self, bytes: &[u8]) -> Vec<u8> {
        let mut damaged = bytes.to_vec();
        match self {
            Self::FlippedBit(at) => damaged.iter_mut().skip(*at).take(1).for_each(|byte| *byte ^= 0x10),
            Self::Truncated(len) => damaged.truncate(*len),
            Self::Grown(by) => damaged.resize(damaged.len().saturating_add(*by), 0xa5),
            Self::Zeroed => damaged.fill(0),
            Self::Swapped(other) => damaged = other.to_vec(),
        }
        damaged
    }
}

/// What a tier does about damage to what it keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recovery {
    /// It refuses the chunk: there is nowhere else to get it from.
    Refuses,
    /// It gets the chunk from below, and answers.
    Heals,
}

/// A fresh tier with what a suite needs to be cruel to it.
pub trait Stage {
    /// The tier. It can answer for the samples that the stage was made for.
    fn tier(&self) -> Arc<dyn Tier>;

    /// Changes the bytes that the tier keeps under the chunk's name, behind its back.
    fn damage(&self, sample: &Sample, damage: &Damage);

    /// Undoes all damage to the chunk.
    fn repair(&self, sample: &Sample);

    /// What the tier does about damage.
    fn recovery(&self) -> Recovery;
}

/// Runs every law on fresh stages.
///
/// # Panics
/// When the tier breaks one.
pub async fn run<S: Stage>(make_stage: impl AsyncFn(&[Sample]) -> S) {
    let samples = samples();
    answers_with_the_right_bytes(&make_stage(&samples).await, &samples).await;
    says_what_it_does_not_have(&make_stage(&samples).await, &samples).await;
    refuses_a_length_that_is_not_the_chunks(&make_stage(&samples).await, &samples).await;
    serves_many_readers_of_one_chunk(&make_stage(&samples).await, &samples).await;
    outlives_readers_that_give_up(&make_stage(&samples).await, &samples).await;
    for damage in damages(&samples) {
        never_serves_wrong_bytes(&make_stage(&samples).await, &samples, &damage).await;
    }
}

async fn answers_with_the_right_bytes(stage: &impl Stage, samples: &[Sample]) {
    let tier = stage.tier();
    assert!(!tier.to_string().is_empty(), "a tier prints itself");
    // Twice: the second answer of a cache comes from elsewhere than the first.
    for sample in samples.iter().chain(samples) {
        assert_right(&tier, sample).await;
    }
}

async fn says_what_it_does_not_have(stage: &impl Stage, samples: &[Sample]) {
    let tier = stage.tier();
    let unknown = Wanted { root: RootId::FIRST, id: ChunkId::of(b"never sealed"), sealed_len: 12 };
    for _ in 0..2 {
        let error = get_error(&tier, &unknown).await;
        assert_eq!(error.class(), ErrorClass::NotFound, "{error}");
        assert!(error.to_string().contains(&unknown.id.to_string()), "an error names its chunk: {error}");
    }
    for sample in samples {
        assert_right(&tier, sample).await;
    }
}

async fn refuses_a_length_that_is_not_the_chunks(stage: &impl Stage, samples: &[Sample]) {
    let tier = stage.tier();
    for sample in samples {
        for sealed_len in [sample.wanted.sealed_len - 1, sample.wanted.sealed_len + 1] {
            let error = get_error(&tier, &Wanted { sealed_len, ..sample.wanted }).await;
            assert_eq!(error.class(), ErrorClass::Corrupt, "{error}");
        }
        assert_right(&tier, sample).await;
    }
}

async fn serves_many_readers_of_one_chunk(stage: &impl Stage, samples: &[Sample]) {
    let tier = stage.tier();
    for sample in samples {
        join_all((0..READERS).map(|_| assert_right(&tier, sample))).await;
    }
    join_all(samples.iter().flat_map(|sample| (0..4).map(|_| assert_right(&tier, sample)))).await;
}

async fn outlives_readers_that_give_up(stage: &impl Stage, samples: &[Sample]) {
    let tier = stage.tier();
    for sample in samples {
        let given_up = tier.get(&sample.wanted);
        let polled_once = futures::future::select(given_up, futures::future::ready(())).await;
        drop(polled_once);
        assert_right(&tier, sample).await;
    }
}

async fn never_serves_wrong_bytes(stage: &impl Stage, samples: &[Sample], damage: &Damage) {
    let tier = stage.tier();
    let [victim, others @ ..] = samples else { panic!("a suite has samples") };
    // A cache must have seen the chunk for damage to matter.
    if stage.recovery() == Recovery::Heals {
        assert_right(&tier, victim).await;
    }
    stage.damage(victim, damage);
    match stage.recovery() {
        Recovery::Heals => assert_right(&tier, victim).await,
        Recovery::Refuses => {
            let error = get_error(&tier, &victim.wanted).await;
            assert_eq!(error.class(), ErrorClass::Corrupt, "{damage:?}: {error}");
            assert!(error.to_string().contains(&victim.wanted.id.to_string()), "{error}");
        }
    }
    for other in others {
        assert_right(&tier, other).await;
    }
    stage.repair(victim);
    assert_right(&tier, victim).await;
}

async fn assert_right(tier: &Arc<dyn Tier>, sample: &Sample) {
    match tier.get(&sample.wanted).await {
        Ok(served) => assert!(served == sample.chunk, "{tier} gave other bytes for {:?}", sample.wanted),
        Err(error) => panic!("{tier} has no answer for {:?}: {error} ({error:?})", sample.wanted),
    }
}

async fn get_error(tier: &Arc<dyn Tier>, wanted: &Wanted) -> TierError {
    match tier.get(wanted).await {
        Ok(chunk) => panic!("{tier} answered {wanted:?} with {chunk:?}"),
        Err(error) => error,
    }
}

fn damages(samples: &[Sample]) -> Vec<Damage> {
    let [victim, other, ..] = samples else { panic!("a suite has samples") };
    let len = victim.chunk.len();
    vec![
        Damage::FlippedBit(0),
        Damage::FlippedBit(len / 2),
        Damage::FlippedBit(len - 1),
        Damage::Truncated(len - 1),
        Damage::Truncated(len / 2),
        Damage::Truncated(0),
        Damage::Grown(1),
        Damage::Grown(64 << 20),
        Damage::Zeroed,
        Damage::Swapped(other.chunk.bytes().clone()),
    ]
}

/// Chunks of every kind of length, that of an ordinary one first.
fn samples() -> Vec<Sample> {
    let sealer = Sealer::new(&ScopeSecret::from_bytes([7; 32]), RootId::FIRST);
    let lens = [300 << 10, 300 << 10, 1, 4096, 4 << 20];
    lens.into_iter().zip(1u64..).map(|(len, seed)| sample(&sealer, len, seed)).collect()
}

fn sample(sealer: &Sealer, len: usize, seed: u64) -> Sample {
    let bytes: Vec<u8> = std::iter::successors(Some(seed), |&state| {
        Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    })
    .map(|state| (state >> 56) as u8)
    .take(len)
    .collect();
    let sealed =
        sealer.seal(&Payload::compress(&bytes, Compression::None)).expect("a chunk of our own seals");
    let sealed_len = u32::try_from(sealed.chunk.len()).expect("a chunk is short");
    Sample { wanted: Wanted { root: RootId::FIRST, id: sealed.id, sealed_len }, chunk: sealed.chunk }
}
