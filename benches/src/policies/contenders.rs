//! The policies, each in its plainest form; all count bytes and none may exceed its budget.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use frazil_cache::policy::{S3Fifo as ProductPolicy, Ticket};
use quick_cache::Weighter;

use super::list::List;

/// A cache that only counts.
pub(crate) trait Cache {
    /// Asks for a chunk, and keeps it; whether it was there.
    fn access(&mut self, key: u64, bytes: u64) -> bool;
}

/// Every contender with this budget, by name; `mean_bytes` is the mean length of a chunk.
pub(crate) fn all(budget: u64, mean_bytes: u64) -> Vec<(String, Box<dyn Cache>)> {
    let quick = QuickCache(quick_cache::unsync::Cache::with_weighter(
        (budget / mean_bytes) as usize,
        budget,
        ByBytes,
    ));
    vec![
        ("LRU".into(), Box::new(Lru { list: List::default(), budget }) as Box<dyn Cache>),
        ("LRU-2, history as long as the cache".into(), Box::new(Lru2::new(budget, 1))),
        ("LRU-2, history twice as long".into(), Box::new(Lru2::new(budget, 2))),
        ("S3-FIFO, small 10 %, as many ghosts (the paper's)".into(), Box::new(S3Fifo::new(budget, 10, 1.0))),
        ("S3-FIFO, small 25 %, as many ghosts".into(), Box::new(S3Fifo::new(budget, 25, 1.0))),
        ("S3-FIFO, small 10 %, half as many".into(), Box::new(S3Fifo::new(budget, 10, 0.5))),
        ("S3-FIFO, small 3 %, half as many".into(), Box::new(S3Fifo::new(budget, 3, 0.5))),
        ("S3-FIFO, small 1 %, half as many".into(), Box::new(S3Fifo::new(budget, 1, 0.5))),
        ("SIEVE".into(), Box::new(Sieve { budget, ..Sieve::default() })),
        ("quick_cache 0.7".into(), Box::new(quick)),
        ("the product's S3-FIFO".into(), Box::new(Product::new(budget))),
    ]
}

struct Lru {
    list: List,
    budget: u64,
}

impl Cache for Lru {
    fn access(&mut self, key: u64, bytes: u64) -> bool {
        let hit = self.list.contains(key);
        self.list.push(key, bytes);
        while self.list.bytes > self.budget && self.list.pop().is_some() {}
        hit
    }
}

/// LRU-2 (O'Neil et al., SIGMOD 1993): the victim is the chunk whose last use but one is the oldest.
struct Lru2 {
    budget: u64,
    now: u64,
    /// (last use but one, last use, key) of what is kept.
    order: BTreeSet<(u64, u64, u64)>,
    kept: HashMap<u64, (u64, u64, u64)>,
    bytes: u64,
    /// Last uses of what was evicted.
    history: List,
    last_uses: HashMap<u64, u64>,
    history_factor: usize,
}

impl Lru2 {
    fn new(budget: u64, history_factor: usize) -> Self {
        Self {
            budget,
            now: 0,
            order: BTreeSet::new(),
            kept: HashMap::new(),
            bytes: 0,
            history: List::default(),
            last_uses: HashMap::new(),
            history_factor,
        }
    }

    fn evict(&mut self) {
        let Some((_, last, key)) = self.order.pop_first() else { return };
        if let Some((_, _, bytes)) = self.kept.remove(&key) {
            self.bytes -= bytes;
        }
        self.history.push(key, 0);
        self.last_uses.insert(key, last);
        while self.history.len() > self.kept.len().max(16) * self.history_factor {
            if let Some((forgotten, _)) = self.history.pop() {
                self.last_uses.remove(&forgotten);
            }
        }
    }
}

impl Cache for Lru2 {
    fn access(&mut self, key: u64, bytes: u64) -> bool {
        self.now += 1;
        if let Some((before, last, bytes)) = self.kept.remove(&key) {
            self.order.remove(&(before, last, key));
            self.order.insert((last, self.now, key));
            self.kept.insert(key, (last, self.now, bytes));
            return true;
        }
        let before = self.last_uses.remove(&key).unwrap_or(0);
        self.history.remove(key);
        // Room first: a newcomer is never its own victim, else nothing would ever be learnt.
        while self.bytes + bytes > self.budget && !self.order.is_empty() {
            self.evict();
        }
        self.order.insert((before, self.now, key));
        self.kept.insert(key, (before, self.now, bytes));
        self.bytes += bytes;
        false
    }
}

/// S3-FIFO (Yang et al., SOSP 2023): a small queue that newcomers must survive, a main queue, and ghosts.
struct S3Fifo {
    budget: u64,
    small_budget: u64,
    small: List,
    main: List,
    ghosts: List,
    uses: HashMap<u64, u8>,
    ghost_factor: f64,
}

impl S3Fifo {
    fn new(budget: u64, small_percent: u64, ghost_factor: f64) -> Self {
        Self {
            budget,
            small_budget: budget * small_percent / 100,
            small: List::default(),
            main: List::default(),
            ghosts: List::default(),
            uses: HashMap::new(),
            ghost_factor,
        }
    }

    fn evict(&mut self) {
        if self.small.bytes > self.small_budget || self.main.len() == 0 {
            let Some((key, bytes)) = self.small.pop() else { return };
            // One use after the first read is enough: a start reads each chunk once.
            if self.uses.get(&key).copied().unwrap_or(0) > 0 {
                self.uses.insert(key, 0);
                self.main.push(key, bytes);
                return;
            }
            self.uses.remove(&key);
            self.ghosts.push(key, 0);
            let residents = (self.main.len() + self.small.len()).max(16);
            while self.ghosts.len() > (residents as f64 * self.ghost_factor) as usize {
                self.ghosts.pop();
            }
        } else if let Some((key, bytes)) = self.main.pop() {
            match self.uses.get_mut(&key) {
                Some(uses) if *uses > 0 => {
                    *uses -= 1;
                    self.main.push(key, bytes);
                }
                _ => drop(self.uses.remove(&key)),
            }
        }
    }
}

impl Cache for S3Fifo {
    fn access(&mut self, key: u64, bytes: u64) -> bool {
        if let Some(uses) = self.uses.get_mut(&key) {
            *uses = (*uses + 1).min(3);
            return true;
        }
        while self.small.bytes + self.main.bytes + bytes > self.budget
            && self.small.len() + self.main.len() > 0
        {
            self.evict();
        }
        self.uses.insert(key, 0);
        if self.ghosts.remove(key).is_some() {
            self.main.push(key, bytes);
        } else {
            self.small.push(key, bytes);
        }
        false
    }
}

/// SIEVE (Zhang et al., NSDI 2024): one queue, one bit, a hand that moves from the oldest to the newest.
#[derive(Default)]
struct Sieve {
    budget: u64,
    bytes: u64,
    next: u64,
    hand: u64,
    queue: BTreeMap<u64, (u64, u64)>,
    kept: HashMap<u64, bool>,
}

impl Sieve {
    fn evict(&mut self) {
        let ahead = self.queue.range((Bound::Included(self.hand), Bound::Unbounded)).next();
        let Some((&place, &(key, bytes))) = ahead.or_else(|| self.queue.first_key_value()) else { return };
        self.hand = place + 1;
        match self.kept.get_mut(&key) {
            Some(visited) if *visited => *visited = false,
            _ => {
                self.queue.remove(&place);
                self.kept.remove(&key);
                self.bytes -= bytes;
            }
        }
    }
}

impl Cache for Sieve {
    fn access(&mut self, key: u64, bytes: u64) -> bool {
        if let Some(visited) = self.kept.get_mut(&key) {
            *visited = true;
            return true;
        }
        while self.bytes + bytes > self.budget && !self.queue.is_empty() {
            self.evict();
        }
        self.queue.insert(self.next, (key, bytes));
        self.next += 1;
        self.kept.insert(key, false);
        self.bytes += bytes;
        false
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<u64, u64> for ByBytes {
    fn weight(&self, _: &u64, bytes: &u64) -> u64 {
        *bytes
    }
}

struct QuickCache(quick_cache::unsync::Cache<u64, u64, ByBytes>);

impl Cache for QuickCache {
    fn access(&mut self, key: u64, bytes: u64) -> bool {
        if self.0.get(&key).is_some() {
            return true;
        }
        self.0.insert(key, bytes);
        false
    }
}

/// What the tiers use: to see that it keeps what its plain form keeps.
struct Product {
    policy: ProductPolicy<u64>,
    kept: HashMap<u64, Arc<Ticket<u64>>>,
}

impl Product {
    fn new(budget: u64) -> Self {
        Self { policy: ProductPolicy::new(budget), kept: HashMap::new() }
    }
}

impl Cache for Product {
    fn access(&mut self, key: u64, bytes: u64) -> bool {
        if let Some(ticket) = self.kept.get(&key) {
            ticket.touch();
            return true;
        }
        let mut evicted = Vec::new();
        let ticket = self.policy.admit(key, bytes, &mut evicted);
        evicted.iter().for_each(|victim| drop(self.kept.remove(victim)));
        self.kept.extend(ticket.map(|ticket| (key, ticket)));
        false
    }
}
