//! An image's command in a container.
//!
//! `frazil run` moves into a mount namespace of its own ([`namespaces`]). A [`side_process`] in yet another one serves the
//! image and hands the mount over, which is attached on a [`stage`]; and a third process ([`container`])
//! makes the rest of the container ([`init`]) out of a [`spec`]; a [`terminal`] of its own is made there and joined to
//! the caller's. Everything dies with `frazil run`.

mod attach;
mod capabilities;
pub(crate) mod config;
pub(crate) mod console;
pub(crate) mod container;
mod devices;
mod filter;
pub(crate) mod first_output;
pub(crate) mod init;
pub(crate) mod namespaces;
mod rootfs;
pub(crate) mod side_process;
pub(crate) mod signals;
pub(crate) mod spec;
pub(crate) mod stage;
mod subordinate;
pub(crate) mod summary;
mod target;
pub(crate) mod terminal;
pub(crate) mod user;
pub(crate) mod volume;
