//! Decorators that keep a tier's trouble from becoming everybody's: deadlines, retries, hedges, a limit, admission.
//!
//! Each is a [`Tier`](crate::Tier) over another one, and none changes an answer: right bytes or an error, sooner,
//! later or more often. What bounds the load on a tier in trouble is here and nowhere else: a limit on requests under
//! way, a bounded queue for the rest, and budgets for every request that nobody but this module wants.
//! [`stack`] puts them over the origin; `docs/decisions/0010-the-order-of-the-origin-stack.md` says why in its order.

mod admission;
mod budget;
mod deadline;
mod health;
mod hedge;
mod latencies;
mod limit;
mod refusal;
mod retry;
mod slots;
pub mod stack;
mod urgency;
mod watch;

pub use admission::{Admission, AdmissionOptions, Refused};
pub use budget::{Budget, BudgetOptions};
pub use deadline::Deadline;
pub use health::Health;
pub use hedge::{Hedge, HedgeCounts, HedgeOptions};
pub use limit::Limit;
pub use refusal::Refusal;
pub use retry::{Retry, RetryCounts, RetryOptions};
pub use slots::{Slot, SlotCounts, Slots};
pub use urgency::{Priority, Urgency};
pub use watch::Watch;
