//! S3-FIFO by bytes: a small queue that newcomers must survive, a main queue, and a memory of what was
//! evicted.
//!
//! After Yang et al., *FIFO queues are all you need for cache eviction* (SOSP 2023). A scan passes through the small
//! queue and never touches the main one. A hit is one atomic increment, without a lock: the reason to prefer it over
//! LRU-2, which keeps less (docs/decisions/0011). The invariant: the weights of all residents together never
//! exceed the budget, not even for a moment.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// The small queue's share of the budget, in percent. The paper's 10 keeps less of the measured cold starts.
const SMALL_PERCENT: u64 = 3;
/// One of the evicted is remembered for this many residents: half as many. With as many as there are
/// residents, a scan that comes back every night would be remembered from the night before.
const RESIDENTS_PER_GHOST: usize = 2;
/// Uses beyond this many do not count: a resident of the past must leave one day.
const MAX_USES: u8 = 3;
/// At least this many of the evicted are remembered, even if hardly anything is resident.
const MIN_GHOSTS: usize = 16;
/// A queue is swept when more than half of at least this many tickets are void.
const SWEEP_FROM: usize = 64;

/// A resident's place in the queues; whoever serves a hit touches it.
#[derive(Debug)]
pub struct Ticket<K> {
    key: K,
    weight: u64,
    uses: AtomicU8,
    proven: AtomicBool,
    void: AtomicBool,
}

impl<K> Ticket<K> {
    /// Counts a use.
    pub fn touch(&self) {
        let uses = self.uses.load(Ordering::Relaxed);
        if uses < MAX_USES {
            // Lost increments of concurrent readers do not matter; a contended cache line would.
            self.uses.store(uses + 1, Ordering::Relaxed);
        }
    }

    fn is_void(&self) -> bool {
        self.void.load(Ordering::Relaxed)
    }

    /// Takes one use away, if there is one.
    fn spend(&self) -> bool {
        let uses = self.uses.load(Ordering::Relaxed);
        if uses > 0 {
            self.uses.store(uses - 1, Ordering::Relaxed);
        }
        uses > 0
    }
}

/// Whether a newcomer must survive the small queue first.
#[derive(PartialEq, Eq)]
enum Standing {
    New,
    Proven,
}

/// The policy. It knows keys and weights; what they stand for is kept elsewhere.
#[derive(Debug)]
pub struct S3Fifo<K> {
    budget: u64,
    small: Queue<K>,
    main: Queue<K>,
    ghosts: Ghosts,
    has_been_full: bool,
    hasher: RandomState,
}

impl<K: Copy + Eq + Hash> S3Fifo<K> {
    /// A policy for residents of `budget` bytes together.
    pub fn new(budget: u64) -> Self {
        Self {
            budget,
            small: Queue::new(),
            main: Queue::new(),
            ghosts: Ghosts::default(),
            has_been_full: false,
            hasher: RandomState::new(),
        }
    }

    /// The weights of all residents.
    pub fn weight(&self) -> u64 {
        self.small.weight.saturating_add(self.main.weight)
    }

    /// The budget in bytes.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Evicts until `weight` more bytes fit. False, and nothing is evicted, if they never will.
    pub fn make_room(&mut self, weight: u64, evicted: &mut Vec<K>) -> bool {
        if weight > self.budget {
            return false;
        }
        while self.weight() > self.budget - weight {
            let Some(victim) = self.evict() else { break };
            evicted.push(victim);
        }
        true
    }

    /// Admits a key that is not resident; none if it never fits.
    pub fn admit(&mut self, key: K, weight: u64, evicted: &mut Vec<K>) -> Option<Arc<Ticket<K>>> {
        // Room first: a newcomer is never its own victim, else nothing would ever be learnt.
        if !self.make_room(weight, evicted) {
            return None;
        }
        let wanted_again = self.ghosts.forget(self.hasher.hash_one(key));
        // Nobody competes for the room of a new cache. What comes first stays until others prove to be better, so that
        // a scan as large as the cache does not flush it.
        let fits_main = self.main.weight.saturating_add(weight) <= self.budget - self.small_budget();
        self.has_been_full |= !fits_main;
        let standing = if wanted_again || !self.has_been_full { Standing::Proven } else { Standing::New };
        Some(self.push(key, weight, standing))
    }

    /// Admits a key that has proved itself before, ahead of a scan's newcomers; none if it never fits.
    pub fn admit_proven(&mut self, key: K, weight: u64, evicted: &mut Vec<K>) -> Option<Arc<Ticket<K>>> {
        self.make_room(weight, evicted).then(|| self.push(key, weight, Standing::Proven))
    }

    fn push(&mut self, key: K, weight: u64, standing: Standing) -> Arc<Ticket<K>> {
        let ticket = Arc::new(Ticket {
            key,
            weight,
            uses: AtomicU8::new(0),
            proven: AtomicBool::new(standing == Standing::Proven),
            void: AtomicBool::new(false),
        });
        let queue = match standing {
            Standing::New => &mut self.small,
            Standing::Proven => &mut self.main,
        };
        queue.push(Arc::clone(&ticket));
        ticket
    }

    /// Takes a resident out.
    pub fn withdraw(&mut self, ticket: &Arc<Ticket<K>>) {
        if !ticket.void.swap(true, Ordering::Relaxed) {
            // Its weight is freed now, its place when the queue is next swept.
            let proven = ticket.proven.load(Ordering::Relaxed);
            if proven { self.main.void(ticket) } else { self.small.void(ticket) }
        }
    }

    /// Changes the budget, and evicts what no longer fits.
    pub fn resize(&mut self, budget: u64, evicted: &mut Vec<K>) {
        self.budget = budget;
        self.make_room(0, evicted);
    }

    fn small_budget(&self) -> u64 {
        self.budget / 100 * SMALL_PERCENT
    }

    fn evict(&mut self) -> Option<K> {
        // Bounded: every round evicts, promotes one of finitely many, or spends one of at most three uses.
        loop {
            if self.small.weight > self.small_budget() || self.main.weight == 0 {
                let ticket = self.small.pop()?;
                if ticket.uses.swap(0, Ordering::Relaxed) > 0 {
                    ticket.proven.store(true, Ordering::Relaxed);
                    self.main.push(ticket);
                    continue;
                }
                let residents = self.small.len().saturating_add(self.main.len());
                let limit = (residents / RESIDENTS_PER_GHOST).max(MIN_GHOSTS);
                self.ghosts.remember(self.hasher.hash_one(ticket.key), limit);
                return Some(ticket.key);
            }
            let ticket = self.main.pop()?;
            if !ticket.spend() {
                return Some(ticket.key);
            }
            self.main.push(ticket);
        }
    }
}

/// Tickets in the order of their arrival. The void ones among them weigh nothing.
#[derive(Debug)]
struct Queue<K> {
    tickets: VecDeque<Arc<Ticket<K>>>,
    weight: u64,
    voided: usize,
}

impl<K> Queue<K> {
    fn new() -> Self {
        Self { tickets: VecDeque::new(), weight: 0, voided: 0 }
    }

    fn len(&self) -> usize {
        self.tickets.len().saturating_sub(self.voided)
    }

    fn push(&mut self, ticket: Arc<Ticket<K>>) {
        self.weight = self.weight.saturating_add(ticket.weight);
        self.tickets.push_back(ticket);
    }

    fn pop(&mut self) -> Option<Arc<Ticket<K>>> {
        loop {
            let ticket = self.tickets.pop_front()?;
            if ticket.is_void() {
                self.voided = self.voided.saturating_sub(1);
            } else {
                self.weight = self.weight.saturating_sub(ticket.weight);
                return Some(ticket);
            }
        }
    }

    /// Frees the weight of a ticket of this queue that was just voided.
    fn void(&mut self, ticket: &Ticket<K>) {
        self.weight = self.weight.saturating_sub(ticket.weight);
        self.voided = self.voided.saturating_add(1);
        if self.tickets.len() >= SWEEP_FROM && self.voided > self.tickets.len() / 2 {
            self.tickets.retain(|ticket| !ticket.is_void());
            self.voided = 0;
        }
    }
}

/// Hashes of the keys that were evicted lately, the oldest forgotten first. A false memory only misplaces a
/// newcomer.
#[derive(Debug, Default)]
struct Ghosts {
    order: VecDeque<(u64, u64)>,
    latest: HashMap<u64, u64>,
    next: u64,
}

impl Ghosts {
    fn remember(&mut self, hash: u64, limit: usize) {
        self.next = self.next.wrapping_add(1);
        self.order.push_back((hash, self.next));
        self.latest.insert(hash, self.next);
        while self.order.len() > limit {
            let Some((oldest, at)) = self.order.pop_front() else { break };
            if self.latest.get(&oldest) == Some(&at) {
                self.latest.remove(&oldest);
            }
        }
    }

    fn forget(&mut self, hash: u64) -> bool {
        self.latest.remove(&hash).is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    /// Reads keys of weight 1 through a policy, and says which of them were hits.
    fn read(policy: &mut S3Fifo<u64>, kept: &mut HashMap<u64, Arc<Ticket<u64>>>, key: u64) -> bool {
        if let Some(ticket) = kept.get(&key) {
            ticket.touch();
            return true;
        }
        let mut evicted = Vec::new();
        kept.insert(key, policy.admit(key, 1, &mut evicted).unwrap());
        evicted.iter().for_each(|victim| drop(kept.remove(victim)));
        assert_eq!(policy.weight(), kept.len() as u64);
        assert!(policy.weight() <= policy.budget());
        false
    }

    #[test]
    fn a_scan_leaves_what_was_read_twice() {
        let (mut policy, mut kept) = (S3Fifo::new(1000), HashMap::new());
        for _ in 0..2 {
            (0..500).for_each(|hot| _ = read(&mut policy, &mut kept, hot));
        }
        (10_000..20_000).for_each(|scanned| _ = read(&mut policy, &mut kept, scanned));
        assert!((0..500).all(|hot| read(&mut policy, &mut kept, hot)), "the scan evicted a hot key");
    }

    #[test]
    fn what_is_wanted_again_soon_after_its_eviction_stays_longer() {
        let (mut policy, mut kept) = (S3Fifo::new(100), HashMap::new());
        (0..100).for_each(|key| _ = read(&mut policy, &mut kept, key));
        read(&mut policy, &mut kept, 700);
        (1000..1020).for_each(|scanned| _ = read(&mut policy, &mut kept, scanned));
        assert!(!read(&mut policy, &mut kept, 700), "the scan evicted it");
        (3000..3500).for_each(|scanned| _ = read(&mut policy, &mut kept, scanned));
        assert!(read(&mut policy, &mut kept, 700), "this time it is in the main queue");
    }

    #[test]
    fn a_scan_of_twice_the_budget_that_comes_back_leaves_what_was_there_first() {
        let (mut policy, mut kept) = (S3Fifo::new(1000), HashMap::new());
        (0..900).for_each(|early| _ = read(&mut policy, &mut kept, early));
        for _night in 0..3 {
            (10_000..12_000).for_each(|scanned| _ = read(&mut policy, &mut kept, scanned));
            let hits = (0..900).filter(|early| read(&mut policy, &mut kept, *early)).count();
            assert!(hits > 850, "{hits} of 900 are left");
        }
    }

    #[test]
    fn what_never_fits_evicts_nothing() {
        let mut policy = S3Fifo::new(10);
        let mut evicted = Vec::new();
        policy.admit(1, 10, &mut evicted).unwrap();
        assert!(policy.admit(2, 11, &mut evicted).is_none());
        assert!(evicted.is_empty());
        assert_eq!(policy.weight(), 10);
    }

    #[test]
    fn a_smaller_budget_holds_at_once() {
        let mut policy = S3Fifo::new(100);
        let mut evicted = Vec::new();
        (0..100).for_each(|key| drop(policy.admit(key, 1, &mut evicted)));
        policy.resize(40, &mut evicted);
        assert_eq!(evicted.len(), 60);
        assert_eq!(policy.weight(), 40);
    }

    #[test]
    fn withdrawn_residents_free_their_weight_and_their_places() {
        let mut policy = S3Fifo::new(10_000);
        let mut evicted = Vec::new();
        let tickets: Vec<_> = (0..1000).map(|key| policy.admit(key, 10, &mut evicted).unwrap()).collect();
        tickets.iter().for_each(|ticket| policy.withdraw(ticket));
        tickets.iter().for_each(|ticket| policy.withdraw(ticket));
        assert_eq!(policy.weight(), 0);
        let places = policy.small.tickets.len().max(policy.main.tickets.len());
        assert!(places < SWEEP_FROM, "void tickets were swept");
        policy.admit(5000, 10_000, &mut evicted).unwrap();
        assert!(evicted.is_empty(), "nobody is evicted twice");
    }

    #[test]
    fn the_memory_of_the_evicted_is_bounded() {
        let (mut policy, mut kept) = (S3Fifo::new(100), HashMap::new());
        (0..100_000).for_each(|key| _ = read(&mut policy, &mut kept, key));
        assert!(policy.ghosts.order.len() <= 100 && policy.ghosts.latest.len() <= 100);
    }
}
