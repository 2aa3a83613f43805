//! An agent that nobody reads from gives its memory back: a host has hundreds of mounts, and few are read at a time.

use std::sync::Weak;
use std::time::Duration;

use frazil_mount::{Counters, Image};

/// How often it is looked whether anybody has read.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The looks without news after which memory is given back: soon, and when the recording of a start has ended, too.
const REST_AT: [u32; 2] = [1, 8];

/// Gives memory back whenever nothing was read for a while, for as long as the image is served.
pub(crate) async fn when_idle(image: Weak<Image>) {
    let (mut last, mut looks) = (Counters::default(), 0_u32);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(image) = image.upgrade() else { return };
        let now = image.counters();
        looks = if now == last { looks.saturating_add(1) } else { 0 };
        last = now;
        if REST_AT.contains(&looks) {
            image.rest();
            give_back();
        }
    }
}

/// Returns what the allocator keeps for later.
#[cfg(target_env = "gnu")]
fn give_back() {
    // SAFETY: it takes the allocator's own locks, and touches nothing that is in use.
    let given = unsafe { libc::malloc_trim(0) };
    tracing::debug!(given, "nobody reads: memory is given back");
}

/// Other allocators give it back by themselves.
#[cfg(not(target_env = "gnu"))]
fn give_back() {}
