//! What can be wrong with a network, one word each.

use std::time::Duration;

/// What a [`FaultProxy`](super::FaultProxy) does to the connections through it, from the moment it is set.
/// Faults are done to what the upstream answers, unless they say otherwise; bytes are counted per connection
/// and from the moment the fault was set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing: bytes pass both ways.
    Pass,
    /// Nothing passes either way, and nothing is closed. What was sent meanwhile arrives when the fault ends, as
    /// packets that are sent again would.
    BlackHole,
    /// After this many bytes the connection is reset.
    Reset {
        /// Bytes that still pass.
        after_bytes: u64,
    },
    /// After this many bytes the connection is closed, as if that had been all.
    Truncate {
        /// Bytes that still pass.
        after_bytes: u64,
    },
    /// A few bytes at a time.
    SlowDrip {
        /// How many bytes pass at once.
        bytes: usize,
        /// How long it takes until the next ones do.
        pause: Duration,
    },
    /// Every byte arrives this much later; how many pass in a second stays the same.
    Latency(Duration),
    /// The bytes are taken in runs of `every_bytes`, and one bit is flipped in the last byte of each run.
    Corrupt {
        /// The length of a run; zero corrupts nothing.
        every_bytes: u64,
    },
    /// Whatever a client sends, it is answered by this HTTP status, and the connection is closed. The upstream
    /// hears nothing of it.
    Answer {
        /// The status: 500, 503, 429.
        status: u16,
        /// The header `Retry-After`, in seconds.
        retry_after_s: Option<u64>,
    },
    /// Whatever a client sends, it is answered by these bytes, again and again and without an end. The upstream hears
    /// nothing of it.
    Say(&'static [u8]),
}

impl Fault {
    /// Whether the proxy answers by itself.
    pub(super) fn answers(&self) -> bool {
        matches!(self, Self::Answer { .. } | Self::Say(_))
    }
}
