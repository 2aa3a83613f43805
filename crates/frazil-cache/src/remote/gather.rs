//! One question to the fleet: all homes of a chunk are asked at once, the first four shards that make it win.
//!
//! What every position answered is kept, so that it can be judged once the truth is known. The chunk is only
//! ever what its id verifies; with five shards there is one combination too many for a liar to hide in.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use frazil_format::SealedChunk;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::connection::Answer;
use super::fleet::{Fleet, Position};
use super::landing::Landing;
use super::shard::{DATA_SHARDS, PARITY, SHARDS, Shard, join, part};
use crate::Wanted;

/// How many combinations of shards are tried: all of five, and most of six.
const MAX_COMBINATIONS: usize = 16;

/// What a position had.
#[derive(Debug)]
pub(super) enum Finding {
    /// It was not asked: its node is down, or the position a spare that nobody needed.
    NotAsked,
    /// No answer yet, or none at all: the position may have anything.
    Unknown,
    /// No shard.
    Vacant,
    /// Bytes that are no shard of the chunk.
    NoShard,
    /// What claims to be a shard.
    Shard(Shard),
    /// The shard of this index, which became part of the verified chunk.
    Right(usize),
}

type Asked = Pin<Box<dyn Future<Output = (usize, Option<Answer>)> + Send>>;

/// A question under way.
pub(super) struct Gather {
    pub(super) wanted: Wanted,
    pub(super) fleet: Arc<Fleet>,
    pub(super) positions: Vec<Position>,
    pub(super) findings: Vec<Finding>,
    asked: FuturesUnordered<Asked>,
    landing: Landing,
    deadline: Instant,
    combinations: usize,
}

/// A chunk that the fleet had.
pub(super) struct Gathered {
    pub(super) chunk: SealedChunk,
    /// Whether a piece was missing and the parity stood in for it.
    pub(super) is_reconstructed: bool,
}

impl Gather {
    /// Asks the homes of a chunk; the spares in the place of homes that are down.
    pub(super) fn start(wanted: &Wanted, fleet: Arc<Fleet>, deadline: Instant) -> Self {
        let positions = fleet.positions(&wanted.id);
        let findings = positions.iter().map(|_| Finding::NotAsked).collect();
        let asked = FuturesUnordered::new();
        let mut gather = Self {
            wanted: *wanted,
            fleet,
            positions,
            findings,
            asked,
            landing: Landing::of(wanted.sealed_len),
            deadline,
            combinations: 0,
        };
        gather.ask_up_to(SHARDS);
        gather
    }

    /// The chunk, as soon as it is there; `None` when the fleet cannot have it, or not in time. A wait that is
    /// given up can be taken up again.
    pub(super) async fn chunk(&mut self) -> Option<Gathered> {
        loop {
            if self.asked.is_empty() && !self.ask_the_spares() {
                return None;
            }
            let (at, answer) = timeout_at(self.deadline, self.asked.next()).await.ok()??;
            let finding = match answer {
                Some(Answer::Hit(item)) => {
                    Shard::parse(item, &self.wanted).map_or(Finding::NoShard, Finding::Shard)
                }
                Some(Answer::Miss) => Finding::Vacant,
                Some(Answer::Stored | Answer::Refused) | None => Finding::Unknown,
            };
            let is_shard = matches!(finding, Finding::Shard(_));
            self.findings[at] = finding;
            if is_shard && let Some(gathered) = self.combine(at) {
                return Some(gathered);
            }
        }
    }

    /// Asks the spares when the homes have some of the chunk but not enough: a fill may have passed some
    /// homes over.
    fn ask_the_spares(&mut self) -> bool {
        let has_some = self.findings.iter().any(|finding| matches!(finding, Finding::Shard(_)));
        has_some && self.ask_up_to(usize::MAX)
    }

    /// Asks positions in order until `count` have been asked; says whether it asked any.
    fn ask_up_to(&mut self, count: usize) -> bool {
        let mut asked = self.asked.len();
        let before = asked;
        for (at, position) in self.positions.iter().enumerate() {
            if asked >= count {
                break;
            }
            if matches!(self.findings[at], Finding::NotAsked) && position.node.vitals.breaker.admits_read() {
                let answer = position.node.get(position.key(&self.wanted), self.landing.clone());
                self.asked.push(Box::pin(async move { (at, answer.await) }));
                self.findings[at] = Finding::Unknown;
                asked += 1;
            }
        }
        asked > before
    }

    /// Tries the new shard, at this position, with every three of the others.
    fn combine(&mut self, new: usize) -> Option<Gathered> {
        let index = |finding: &Finding| match finding {
            Finding::Shard(shard) => Some(shard.index),
            _ => None,
        };
        let indexes: Vec<Option<usize>> = self.findings.iter().map(index).collect();
        let others: Vec<usize> =
            (0..indexes.len()).filter(|&at| indexes[at].is_some() && indexes[at] != indexes[new]).collect();
        for a in 0..others.len() {
            for b in a + 1..others.len() {
                for c in b + 1..others.len() {
                    let four = [others[a], others[b], others[c], new];
                    let different =
                        four.iter().filter_map(|&at| indexes[at]).fold(0u8, |all, index| all | 1 << index);
                    if different.count_ones() as usize != DATA_SHARDS {
                        continue;
                    }
                    self.combinations += 1;
                    if self.combinations > MAX_COMBINATIONS {
                        return None;
                    }
                    if let Some(gathered) = self.verify(four) {
                        return Some(gathered);
                    }
                }
            }
        }
        None
    }

    /// Joins the shards at these positions and verifies the chunk that they are, or puts them back.
    fn verify(&mut self, four: [usize; DATA_SHARDS]) -> Option<Gathered> {
        let mut shards = Vec::with_capacity(DATA_SHARDS);
        for &at in &four {
            match std::mem::replace(self.findings.get_mut(at)?, Finding::Unknown) {
                Finding::Shard(shard) => shards.push(shard),
                other => self.findings[at] = other,
            }
        }
        let shards: [Shard; DATA_SHARDS] = shards.try_into().ok()?;
        let indexes = shards.each_ref().map(|shard| shard.index);
        let joined = join(shards, &self.landing);
        let sealed = joined.slice(..joined.len().min(self.wanted.sealed_len as usize));
        let verified = SealedChunk::verify(&self.wanted.id, sealed).ok();
        if verified.is_some() {
            four.iter().zip(indexes).for_each(|(&at, index)| self.findings[at] = Finding::Right(index));
        } else {
            four.iter()
                .zip(part(&joined, indexes))
                .for_each(|(&at, shard)| self.findings[at] = Finding::Shard(shard));
        }
        verified.map(|chunk| Gathered { chunk, is_reconstructed: indexes.contains(&PARITY) })
    }

    /// Compares what the positions had with the truth: what had bytes that are not right becomes vacant, and is
    /// counted.
    pub(super) fn judge(&mut self, truth: &SealedChunk) {
        for (finding, position) in self.findings.iter_mut().zip(&self.positions) {
            let is_lie = match finding {
                Finding::NoShard => true,
                Finding::Shard(shard) => *shard != Shard::of(truth, shard.index),
                Finding::NotAsked | Finding::Unknown | Finding::Vacant | Finding::Right(_) => false,
            };
            if is_lie {
                position.node.vitals.liars.fetch_add(1, Relaxed);
                *finding = Finding::Vacant;
            }
        }
    }
}
