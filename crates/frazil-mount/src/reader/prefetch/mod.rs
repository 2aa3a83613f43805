//! Fetching ahead of the reader.
//!
//! ```text
//! image.prefetch(chunks, source) ── run ─┐
//!                                        ├─ queue (by source) ─ pump ─ pace ─ fetch, at prefetch priority
//! sequential reads ── streams ── run ────┘                               │
//!                                        read-ahead: decoded · profile, metadata: sealed · hydrate: below
//!                                                                                   └─ opened ahead, a few at a time
//! ```
//!
//! The API, for whoever knows what will be read:
//!
//! * [`Image::prefetch`](crate::Image::prefetch) takes chunks in the order in which they will be read, as lazily as
//!   the iterator gives them, and says what becomes of them by their [`Source`]. It returns at once, with a
//!   [`PrefetchHandle`]: counters, [`finished`](PrefetchHandle::finished), and the end of it when it is dropped
//!   ([`detach`](PrefetchHandle::detach) lets it go on).
//! * [`Image::supply`](crate::Image::supply) takes a sealed chunk that came some other way (out of a bundle), as
//!   if it had been prefetched; when it answers `Full`, wait with [`Image::room_ahead`](crate::Image::room_ahead).
//!   [`Image::place_of`](crate::Image::place_of) tells a chunk's id and lengths.
//! * [`TouchListener`](crate::TouchListener) hears of first touches, in order: what a profile is made of.
//!   [`Image::is_touched`](crate::Image::is_touched) tells what of a profile was of use.
//! * [`Image::prefetch_counts`](crate::Image::prefetch_counts) has what was fetched, used and thrown away, by
//!   source.
//!
//! The invariants: a reader is never behind a prefetch, and never fails because one did; what is ahead is bounded,
//! in memory and on the wire; and an origin that is slow or failing is left to the readers ([`pace`]).

mod handle;
mod marks;
mod opening;
mod pace;
mod pump;
mod queue;
mod run;
mod source;
mod supply;

pub use handle::PrefetchHandle;
pub use marks::PrefetchCounts;
pub use run::RunCounts;
pub use source::Source;
pub use supply::Supplied;

pub(super) use marks::Marks;
pub(super) use opening::OpenedAhead;
pub(super) use pump::Prefetches;
