//! Places for requests that are under way, and a bounded queue for those that wait for one.
//!
//! The invariants: never more slots are held than there are, hedges included; never more requests wait than may;
//! demand goes before prefetch in the queue, and a quarter of the slots is for demand alone. A waiter that is dropped
//! leaves the queue at once; a slot that is dropped goes to the next.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{Priority, Refusal, Urgency};

/// The share of the slots that prefetches leave free.
const DEMAND_SHARE: usize = 4;

/// A fixed number of slots, and a queue.
#[derive(Debug)]
pub struct Slots {
    slots: usize,
    queue: usize,
    state: Mutex<State>,
    refused: AtomicU64,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: VecDeque<Waiter>,
    /// The number of the next waiter.
    next: u64,
    most_held: usize,
    most_waiting: usize,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    urgency: Urgency,
    grant: oneshot::Sender<Slot>,
}

/// A slot that is held. Dropping it gives it to the next.
#[derive(Debug)]
pub struct Slot(Option<Arc<Slots>>);

/// How busy the slots are and were.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SlotCounts {
    /// Slots that are held now.
    pub held: usize,
    /// The most that were held at once.
    pub most_held: usize,
    /// Requests that wait now.
    pub waiting: usize,
    /// The most that waited at once.
    pub most_waiting: usize,
    /// Requests that were refused because too many waited.
    pub refused: u64,
}

impl Slots {
    /// `slots` slots, but at least one, and a queue of `queue` places.
    pub fn new(slots: usize, queue: usize) -> Arc<Self> {
        let slots = slots.max(1);
        let state = State { free: slots, waiting: VecDeque::new(), next: 0, most_held: 0, most_waiting: 0 };
        Arc::new(Self { slots, queue, state: Mutex::new(state), refused: AtomicU64::new(0) })
    }

    /// A slot, in turn. [`Refusal::Busy`] when the queue is full of demand, and for a prefetch whenever it is
    /// full.
    pub async fn take(self: &Arc<Self>, urgency: Urgency) -> Result<Slot, Refusal> {
        let (mut granted, _waiting) = match self.enter(urgency.clone())? {
            Entered::Slot(slot) => return Ok(slot),
            Entered::Queue { number, granted } => (granted, Waiting { slots: self, number }),
        };
        // A waiter that somebody more urgent pushed out of the queue finds its grant dropped.
        let pushed_out = |_| self.busy();
        tokio::select! {
            biased;
            slot = &mut granted => return slot.map_err(pushed_out),
            () = urgency.raised() => {}
        }
        // A reader waits for it now, and may have one of the slots that prefetches leave free.
        self.grant();
        granted.await.map_err(pushed_out)
    }

    /// A slot that nobody would miss: one is free, and nobody waits.
    pub fn spare(self: &Arc<Self>) -> Option<Slot> {
        let mut state = self.lock();
        if state.free == 0 || !state.waiting.is_empty() {
            return None;
        }
        Some(self.hold(&mut state))
    }

    /// How many slots, and how many may wait.
    pub fn size(&self) -> (usize, usize) {
        (self.slots, self.queue)
    }

    /// How busy it is and was.
    pub fn counts(&self) -> SlotCounts {
        let state = self.lock();
        SlotCounts {
            held: self.slots.saturating_sub(state.free),
            most_held: state.most_held,
            waiting: state.waiting.len(),
            most_waiting: state.most_waiting,
            refused: self.refused.load(Relaxed),
        }
    }

    fn enter(self: &Arc<Self>, urgency: Urgency) -> Result<Entered, Refusal> {
        let mut state = self.lock();
        if state.waiting.is_empty() && state.free > self.kept_from(urgency.priority()) {
            return Ok(Entered::Slot(self.hold(&mut state)));
        }
        if urgency.priority() == Priority::Demand && state.free > 0 && state.first_demand().is_none() {
            return Ok(Entered::Slot(self.hold(&mut state)));
        }
        if state.waiting.len() >= self.queue {
            let youngest_prefetch =
                state.youngest_prefetch().filter(|_| urgency.priority() == Priority::Demand);
            let Some(at) = youngest_prefetch else {
                drop(state);
                return Err(self.busy());
            };
            state.waiting.remove(at);
        }
        let (grant, granted) = oneshot::channel();
        let number = state.next;
        state.next += 1;
        state.waiting.push_back(Waiter { number, urgency, grant });
        state.most_waiting = state.most_waiting.max(state.waiting.len());
        Ok(Entered::Queue { number, granted })
    }

    fn busy(&self) -> Refusal {
        self.refused.fetch_add(1, Relaxed);
        Refusal::Busy { waiting: self.queue }
    }

    /// How many free slots are not for this priority.
    fn kept_from(&self, priority: Priority) -> usize {
        match priority {
            Priority::Demand => 0,
            Priority::Prefetch => self.slots / DEMAND_SHARE,
        }
    }

    fn hold(self: &Arc<Self>, state: &mut State) -> Slot {
        state.free -= 1;
        state.most_held = state.most_held.max(self.slots - state.free);
        Slot(Some(Arc::clone(self)))
    }

    fn give_back(self: &Arc<Self>) {
        self.lock().free += 1;
        self.grant();
    }

    /// Gives free slots to those who may have one. Each of them leaves the queue, so the loop ends.
    fn grant(self: &Arc<Self>) {
        while let Some((grant, slot)) = self.next_grant() {
            if let Err(slot) = grant.send(slot) {
                // The waiter left in this very moment. Without the lock held, and without coming back here:
                slot.forget();
                self.lock().free += 1;
            }
        }
    }

    /// The next waiter that may have a slot, and the slot; the waiter leaves the queue.
    fn next_grant(self: &Arc<Self>) -> Option<(oneshot::Sender<Slot>, Slot)> {
        let mut state = self.lock();
        let at = match state.first_demand() {
            Some(at) if state.free > 0 => at,
            None if state.free > self.kept_from(Priority::Prefetch) => 0,
            _ => return None,
        };
        let waiter = state.waiting.remove(at)?;
        let slot = self.hold(&mut state);
        Some((waiter.grant, slot))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn first_demand(&self) -> Option<usize> {
        self.waiting.iter().position(|waiter| waiter.urgency.priority() == Priority::Demand)
    }

    fn youngest_prefetch(&self) -> Option<usize> {
        self.waiting.iter().rposition(|waiter| waiter.urgency.priority() == Priority::Prefetch)
    }
}

enum Entered {
    Slot(Slot),
    Queue { number: u64, granted: oneshot::Receiver<Slot> },
}

/// A place in the queue, left when it is dropped.
struct Waiting<'a> {
    slots: &'a Slots,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.slots.lock().waiting.retain(|waiter| waiter.number != self.number);
    }
}

impl Slot {
    fn forget(mut self) {
        self.0 = None;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(slots) = self.0.take() {
            slots.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn demand() -> Urgency {
        Urgency::new(Priority::Demand)
    }

    fn prefetch() -> Urgency {
        Urgency::new(Priority::Prefetch)
    }

    #[tokio::test]
    async fn demand_goes_before_prefetch_and_a_raised_prefetch_goes_with_it() {
        let slots = Slots::new(1, 8);
        let held = slots.take(demand()).await.unwrap();
        let raised = prefetch();
        let mut first = Box::pin(slots.take(prefetch()));
        let mut second = Box::pin(slots.take(raised.clone()));
        let mut third = Box::pin(slots.take(demand()));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        raised.join(Priority::Demand);
        drop(held);
        let held = second.now_or_never().expect("it was raised, and came before").unwrap();
        assert!(first.as_mut().now_or_never().is_none() && third.as_mut().now_or_never().is_none());
        drop(held);
        drop(third.now_or_never().expect("demand").unwrap());
        drop(first.now_or_never().expect("nobody else").unwrap());
        assert_eq!(slots.counts().held, 0);
    }

    #[tokio::test]
    async fn a_prefetch_that_is_raised_while_it_waits_has_a_slot_that_is_free_for_readers() {
        let slots = Slots::new(4, 8);
        let _prefetches: Vec<_> = [(); 3].map(|()| slots.take(prefetch()).now_or_never().unwrap()).into();
        let urgency = prefetch();
        let mut waiting = Box::pin(slots.take(urgency.clone()));
        assert!(waiting.as_mut().now_or_never().is_none(), "the last one is for readers");
        urgency.join(Priority::Demand);
        let slot = waiting.now_or_never().expect("it is a reader's now").unwrap();
        assert_eq!(slots.counts().held, 4);
        drop(slot);
        assert!(slots.take(demand()).now_or_never().is_some(), "and nothing is in the way of the next");
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_demand_pushes_prefetches_out_of_it() {
        let slots = Slots::new(1, 2);
        let _held = slots.take(demand()).await.unwrap();
        let mut old = Box::pin(slots.take(prefetch()));
        let mut young = Box::pin(slots.take(prefetch()));
        assert!(old.as_mut().now_or_never().is_none() && young.as_mut().now_or_never().is_none());
        assert_eq!(slots.take(prefetch()).await.unwrap_err(), Refusal::Busy { waiting: 2 });
        let mut reader = Box::pin(slots.take(demand()));
        assert!(reader.as_mut().now_or_never().is_none());
        assert_eq!(young.await.unwrap_err(), Refusal::Busy { waiting: 2 });
        let counts = slots.counts();
        assert_eq!((counts.waiting, counts.most_waiting, counts.refused), (2, 2, 2));
        drop((old, reader));
        assert_eq!(slots.counts().waiting, 0, "who gives up leaves");
    }

    #[tokio::test]
    async fn prefetches_leave_room_for_demand_and_a_hedge_takes_what_nobody_wants() {
        let slots = Slots::new(4, 8);
        let prefetches: Vec<_> = [(); 4].map(|()| slots.take(prefetch()).now_or_never()).into();
        assert_eq!(prefetches.iter().flatten().count(), 3);
        let spare = slots.spare().expect("one is free");
        assert!(slots.spare().is_none());
        let mut reader = Box::pin(slots.take(demand()));
        assert!(reader.as_mut().now_or_never().is_none());
        drop(spare);
        assert!(slots.spare().is_none(), "the reader has it");
        assert!(reader.now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_slot_that_was_granted_to_nobody_any_more_is_not_lost() {
        let slots = Slots::new(1, 8);
        let held = slots.take(demand()).await.unwrap();
        let mut leaver = Box::pin(slots.take(demand()));
        let mut stayer = Box::pin(slots.take(demand()));
        assert!(leaver.as_mut().now_or_never().is_none() && stayer.as_mut().now_or_never().is_none());
        drop(held);
        drop(leaver);
        drop(stayer.now_or_never().expect("it is the stayer's").unwrap());
        let counts = slots.counts();
        assert_eq!((counts.held, counts.waiting, counts.most_held), (0, 0, 1));
    }
}
