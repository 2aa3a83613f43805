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
use super::shard::{DATA_SHARDS, PARITY, SHARDS, Shard, join};
use crate::Wanted;

/// How many combinations of shards are tried: all of five, and most of six.
const MAX_COMBINATIONS: usize = 16;

/// What a position had.
#[derive(Clone, Debug)]
pub(super) enum Finding {
    /// It was not asked: its node is down, or the position a spare that nobody needed.
    NotAsked,
    /// Nothing yet, or nothing at all: it may have anything.
    Unknown,
    /// No shard.
    Vacant,
    /// Bytes that are no shard of the chunk.
    NoShard,
    /// What claims to be a shard.
    Shard(Shard),
}

type Asked = Pin<Box<dyn Future<Output = (usize, Option<Answer>)> + Send>>;

/// A question under way.
pub(super) struct Gather {
    pub(super) wanted: Wanted,
    pub(super) fleet: Arc<Fleet>,
    pub(super) positions: Vec<Position>,
    pub(super) findings: Vec<Finding>,
    asked: FuturesUnordered<Asked>,
    deadline: Instant,
    combinations: usize,
    /// Whether the chunk's verification vouches for every shard that was found.
    is_honest: bool,
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
        let findings = vec![Finding::NotAsked; positions.len()];
        let asked = FuturesUnordered::new();
        let mut gather = Self {
            wanted: *wanted,
            fleet,
            positions,
            findings,
            asked,
            deadline,
            combinations: 0,
            is_honest: false,
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
            if let Finding::Shard(shard) = &finding
                && let Some(gathered) = self.combine(shard)
            {
                self.is_honest = self.combinations == 1 && self.has_only(DATA_SHARDS - 1);
                self.findings[at] = finding;
                return Some(gathered);
            }
            self.findings[at] = finding;
        }
    }

    /// When the homes have some of the chunk and not enough, a fill may have passed some of them over.
    fn ask_the_spares(&mut self) -> bool {
        let has_some = self.findings.iter().any(|finding| matches!(finding, Finding::Shard(_)));
        has_some && self.ask_up_to(usize::MAX)
    }

    /// Whether so many shards are all that was found.
    fn has_only(&self, shards: usize) -> bool {
        let found = |finding: &&Finding| matches!(finding, Finding::Shard(_) | Finding::NoShard);
        let is_shard = |finding: &&Finding| matches!(finding, Finding::Shard(_));
        self.findings.iter().filter(found).count() == shards
            && self.findings.iter().filter(is_shard).count() == shards
    }

    /// Asks positions in order until so many are asked; whether it asked any.
    fn ask_up_to(&mut self, count: usize) -> bool {
        let mut asked = self.asked.len();
        let before = asked;
        for (at, position) in self.positions.iter().enumerate() {
            if asked >= count {
                break;
            }
            if matches!(self.findings[at], Finding::NotAsked) && position.node.vitals.breaker.admits_read() {
                let answer = position.node.get(position.key(&self.wanted));
                self.asked.push(Box::pin(async move { (at, answer.await) }));
                self.findings[at] = Finding::Unknown;
                asked += 1;
            }
        }
        asked > before
    }

    /// Tries the new shard with every three of the others.
    fn combine(&mut self, new: &Shard) -> Option<Gathered> {
        let others: Vec<&Shard> = self
            .findings
            .iter()
            .filter_map(|finding| match finding {
                Finding::Shard(shard) if shard.index != new.index => Some(shard),
                _ => None,
            })
            .collect();
        for a in 0..others.len() {
            for b in a + 1..others.len() {
                for c in b + 1..others.len() {
                    let four = [others[a], others[b], others[c], new];
                    let Some(sealed) = join(four, self.wanted.sealed_len) else { continue };
                    self.combinations += 1;
                    if self.combinations > MAX_COMBINATIONS {
                        return None;
                    }
                    if let Ok(chunk) = SealedChunk::verify(&self.wanted.id, sealed) {
                        let is_reconstructed = four.iter().any(|shard| shard.index == PARITY);
                        return Some(Gathered { chunk, is_reconstructed });
                    }
                }
            }
        }
        None
    }

    /// Compares what the positions had with the truth: what had bytes that are not right becomes vacant, and is
    /// counted.
    pub(super) fn judge(&mut self, truth: &SealedChunk) {
        if self.is_honest {
            return;
        }
        for (finding, position) in self.findings.iter_mut().zip(&self.positions) {
            let is_lie = match finding {
                Finding::NoShard => true,
                Finding::Shard(shard) => *shard != Shard::of(truth, shard.index),
                Finding::NotAsked | Finding::Unknown | Finding::Vacant => false,
            };
            if is_lie {
                position.node.vitals.liars.fetch_add(1, Relaxed);
                *finding = Finding::Vacant;
            }
        }
    }
}
