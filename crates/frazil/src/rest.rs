//! An agent that nobody reads from gives its memory back: a host has hundreds of mounts, and few are read at a time.

use std::sync::Weak;
use std::time::Duration;

use frazil_mount::{Counters, Image};

use crate::allocator;

/// How often it is looked whether anybody has read.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The looks without news after which an image rests: what was read is in the kernel's page cache.
const REST_AT: u32 = 1;

/// The looks without news after which no reader is expected any more: the recording of a start has ended, and
/// what was foretold was wrong.
const GIVE_UP_AT: u32 = 8;

/// Gives memory back whenever nothing was read for a while, for as long as the image is served.
pub(crate) async fn when_idle(image: Weak<Image>) {
    let (mut last, mut looks) = (Counters::default(), 0_u32);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(image) = image.upgrade() else { return };
        let now = image.counters();
        looks = if now == last { looks.saturating_add(1) } else { 0 };
        last = now;
        match looks {
            REST_AT => image.rest(),
            GIVE_UP_AT => image.give_up_waiting(),
            _ => continue,
        }
        allocator::give_back();
    }
}
