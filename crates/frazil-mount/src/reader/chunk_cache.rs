//! Chunks in memory, within a byte budget: what is spare goes first, and what nobody asks for goes before the rest.
//!
//! Invariants: the bytes that are kept never exceed the budget, the spare ones never their own; a chunk that does
//! not fit is not kept, which is never an error. Recency is that of CLOCK: a look costs a shared lock and a flag.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::ChunkIndex;

/// What a kept chunk is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Worth {
    /// Somebody is likely to come for it.
    Dear,
    /// It has served and may serve again, or may serve at all.
    Spare,
}

/// How much a cache holds, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Occupancy {
    pub(super) dear: u64,
    pub(super) spare: u64,
}

/// Chunks of one kind, by their index.
pub(super) struct ChunkCache<V> {
    budget: u64,
    spare_budget: u64,
    state: RwLock<State<V>>,
}

struct State<V> {
    kept: HashMap<ChunkIndex, Kept<V>>,
    dear: Class,
    spare: Class,
    next_place: u64,
}

struct Kept<V> {
    value: V,
    len: u64,
    worth: Worth,
    place: u64,
    was_asked_for: AtomicBool,
}

/// The chunks of one worth, the oldest first. A place that its chunk has left is stale.
#[derive(Default)]
struct Class {
    order: VecDeque<(u64, ChunkIndex)>,
    bytes: u64,
}

impl<V: Clone> ChunkCache<V> {
    /// A cache for `budget` bytes, of which `spare_budget` may be spare.
    pub(super) fn new(budget: u64, spare_budget: u64) -> Self {
        let state =
            State { kept: HashMap::new(), dear: Class::default(), spare: Class::default(), next_place: 0 };
        Self { budget, spare_budget, state: RwLock::new(state) }
    }

    pub(super) fn get(&self, index: ChunkIndex) -> Option<V> {
        let state = self.read();
        let kept = state.kept.get(&index)?;
        kept.was_asked_for.store(true, Relaxed);
        Some(kept.value.clone())
    }

    pub(super) fn contains(&self, index: ChunkIndex) -> bool {
        self.read().kept.contains_key(&index)
    }

    pub(super) fn budget(&self) -> u64 {
        self.budget
    }

    pub(super) fn occupancy(&self) -> Occupancy {
        let state = self.read();
        Occupancy { dear: state.dear.bytes, spare: state.spare.bytes }
    }

    /// Keeps a chunk of `len` bytes in the place of any before it; gives those that had to go.
    #[must_use]
    pub(super) fn insert(&self, index: ChunkIndex, value: V, len: u64, worth: Worth) -> Vec<ChunkIndex> {
        let mut state = self.write();
        state.remove(index);
        let limit = if worth == Worth::Spare { self.spare_budget.min(self.budget) } else { self.budget };
        if len > limit {
            return Vec::new();
        }
        state.add(index, Kept { value, len, worth, place: 0, was_asked_for: AtomicBool::new(false) });
        self.shrink(&mut state)
    }

    /// As [`Self::insert`], but only into room that no dear chunk has.
    #[must_use]
    pub(super) fn insert_spare(&self, index: ChunkIndex, value: V, len: u64) -> Vec<ChunkIndex> {
        if self.occupancy().dear.saturating_add(len) <= self.budget {
            self.insert(index, value, len, Worth::Spare)
        } else {
            vec![index]
        }
    }

    /// A dear chunk has served: it is spare now.
    pub(super) fn spare(&self, index: ChunkIndex) {
        let mut state = self.write();
        if let Some(kept) = state.remove(index) {
            state.add(index, Kept { worth: Worth::Spare, ..kept });
            self.shrink(&mut state);
        }
    }

    pub(super) fn remove(&self, index: ChunkIndex) -> Option<V> {
        self.write().remove(index).map(|kept| kept.value)
    }

    /// Stops keeping the chunks of this worth that have to go; gives those that had to.
    pub(super) fn clear(&self, worth: Worth, has_to_go: impl Fn(ChunkIndex) -> bool) -> Vec<ChunkIndex> {
        let mut state = self.write();
        let mut gone = Vec::new();
        for (place, index) in std::mem::take(&mut state.class(worth).order) {
            if state.kept.get(&index).is_none_or(|kept| kept.place != place) {
                continue;
            }
            if has_to_go(index) {
                state.remove(index);
                gone.push(index);
            } else {
                state.class(worth).order.push_back((place, index));
            }
        }
        gone
    }

    /// Makes room; every turn removes a chunk or takes its second chance away, which bounds the loop.
    fn shrink(&self, state: &mut State<V>) -> Vec<ChunkIndex> {
        let mut gone = Vec::new();
        while state.spare.bytes > self.spare_budget
            || state.spare.bytes.saturating_add(state.dear.bytes) > self.budget
        {
            let Some(index) = state.pop() else { break };
            gone.push(index);
        }
        gone
    }

    fn read(&self) -> RwLockReadGuard<'_, State<V>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<V>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> State<V> {
    fn class(&mut self, worth: Worth) -> &mut Class {
        match worth {
            Worth::Dear => &mut self.dear,
            Worth::Spare => &mut self.spare,
        }
    }

    fn add(&mut self, index: ChunkIndex, kept: Kept<V>) {
        let (place, live) = (self.next_place, self.kept.len());
        self.next_place += 1;
        let (worth, len) = (kept.worth, kept.len);
        self.kept.insert(index, Kept { place, ..kept });
        let class = self.class(worth);
        class.bytes += len;
        class.order.push_back((place, index));
        // Stale places are few, or they go.
        if self.class(worth).order.len() > 2 * live + 16 {
            let mut order = std::mem::take(&mut self.class(worth).order);
            order.retain(|(place, index)| self.kept.get(index).is_some_and(|kept| kept.place == *place));
            self.class(worth).order = order;
        }
    }

    fn remove(&mut self, index: ChunkIndex) -> Option<Kept<V>> {
        let kept = self.kept.remove(&index)?;
        self.class(kept.worth).bytes -= kept.len;
        Some(kept)
    }

    /// Takes away the oldest that nobody asked for since it was last looked at: a spare one, if there is any.
    fn pop(&mut self) -> Option<ChunkIndex> {
        let worth = if self.spare.bytes > 0 { Worth::Spare } else { Worth::Dear };
        loop {
            let (place, index) = self.class(worth).order.pop_front()?;
            let Some(kept) = self.kept.get_mut(&index).filter(|kept| kept.place == place) else { continue };
            if std::mem::take(kept.was_asked_for.get_mut()) {
                kept.place = self.next_place;
                self.next_place += 1;
                let again = (kept.place, index);
                self.class(worth).order.push_back(again);
                continue;
            }
            self.remove(index);
            return Some(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(n: usize) -> ChunkIndex {
        ChunkIndex::new(n)
    }

    #[test]
    fn what_has_served_goes_first_and_what_was_asked_for_goes_last() {
        let cache = ChunkCache::new(4, 4);
        (0..4).for_each(|n| assert_eq!(cache.insert(index(n), n, 1, Worth::Dear), []));
        cache.spare(index(3));
        assert_eq!(cache.get(index(0)), Some(0));
        assert_eq!(cache.insert(index(4), 4, 1, Worth::Dear), [index(3)], "the spare one had to go");
        assert!(!cache.contains(index(3)));
        assert_eq!(cache.insert(index(5), 5, 1, Worth::Dear), [index(1)]);
        assert_eq!(cache.insert(index(6), 6, 2, Worth::Dear), [index(2), index(4)]);
        assert!(cache.contains(index(0)));
    }

    #[test]
    fn the_budgets_are_kept_whatever_happens() {
        let cache = ChunkCache::new(100, 30);
        let mut dice = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let at = index(dice.usize(..60));
            match dice.u8(..5) {
                0 => drop(cache.insert(at, (), dice.u64(1..120), Worth::Dear)),
                1 => drop(cache.insert_spare(at, (), dice.u64(1..120))),
                2 => cache.spare(at),
                3 => drop(cache.remove(at)),
                _ => drop(cache.get(at)),
            }
            let Occupancy { dear, spare } = cache.occupancy();
            assert!(spare <= 30 && dear + spare <= 100);
            let state = cache.read();
            assert_eq!(state.kept.values().map(|kept| kept.len).sum::<u64>(), dear + spare);
            assert!(state.dear.order.len() + state.spare.order.len() <= 4 * state.kept.len() + 200);
        }
    }

    #[test]
    fn what_is_cleared_is_gone_and_the_rest_stays() {
        let cache = ChunkCache::new(4, 4);
        (0..4).for_each(|n| drop(cache.insert(index(n), n, 1, Worth::Dear)));
        cache.spare(index(1));
        cache.spare(index(2));
        assert_eq!(cache.clear(Worth::Spare, |_| true), [index(1), index(2)]);
        assert_eq!(cache.occupancy(), Occupancy { dear: 2, spare: 0 });
        assert_eq!(cache.clear(Worth::Dear, |at| at == index(3)), [index(3)]);
        assert_eq!(cache.insert(index(4), 4, 4, Worth::Dear), [index(0)], "it stayed in its place");
        assert_eq!(cache.clear(Worth::Dear, |_| true), [index(4)]);
        assert_eq!(cache.insert(index(5), 5, 4, Worth::Dear), []);
    }

    #[test]
    fn a_spare_chunk_pushes_nothing_dear_out() {
        let cache = ChunkCache::new(3, 3);
        (0..3).for_each(|n| drop(cache.insert(index(n), n, 1, Worth::Dear)));
        assert_eq!(cache.insert_spare(index(9), 9, 1), [index(9)], "dear ones have all the room");
        assert!(!cache.contains(index(9)));
        assert_eq!(cache.occupancy(), Occupancy { dear: 3, spare: 0 });
    }
}
