//! Every tier against the conformance suite, on real directories.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod below;
mod disk;
mod disk_damage;
mod disk_killed;
mod disk_trouble;
mod fleet;
mod host;
mod memory;
mod origin;
mod outage_budgets;
mod outage_decorators;
mod outage_matrix;
mod outage_origin;
mod outage_script;
mod proxy;
mod remote;
mod remote_faults;
mod stages;
