//! The host cache: its socket, what goes over it, and what happens when either side misbehaves.

mod catalog;
mod hostile;
mod laws;
mod outages;
mod peers;
mod sharing;
mod stand;
mod stuck;
