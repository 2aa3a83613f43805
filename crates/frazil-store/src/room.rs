//! Memory for objects that are read as a whole, many at once: long ones wait for each other.

use tokio::sync::{Semaphore, SemaphorePermit};

/// What one permit stands for, in bytes.
const UNIT: u64 = 1 << 20;

/// How many units there are.
const UNITS: u32 = 1024;

/// A gibibyte. An object that is longer than all of it is read alone.
#[derive(Debug)]
pub(crate) struct Room(Semaphore);

impl Room {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(UNITS as usize))
    }

    /// Waits until there is room for an object of `len` bytes, which is taken until the permit is dropped.
    pub(crate) async fn of(&self, len: u64) -> Option<SemaphorePermit<'_>> {
        let units = u32::try_from(len.div_ceil(UNIT)).unwrap_or(UNITS).clamp(1, UNITS);
        // It is never closed.
        self.0.acquire_many(units).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn long_objects_wait_for_each_other_and_short_ones_do_not() {
        let room = Room::new();
        let short: Vec<_> = (0..8).map(|_| room.of(10).now_or_never().unwrap()).collect();
        assert!(room.of(u64::MAX).now_or_never().is_none());
        drop(short);
        let long = room.of(u64::MAX).now_or_never().unwrap();
        assert!(room.of(0).now_or_never().is_none());
        drop(long);
        assert!(room.of(1 << 30).now_or_never().is_some());
    }
}
