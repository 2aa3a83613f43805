//! The host cache: its socket, what goes over it, and what happens when either side misbehaves.

mod bytes;
mod catalog;
mod coming;
mod hostile;
mod laws;
mod outages;
mod peers;
mod priority;
mod provenance;
mod sharing;
mod shelving;
pub(crate) mod stand;
mod stuck;
