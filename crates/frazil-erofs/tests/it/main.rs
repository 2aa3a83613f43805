//! EROFS images judged by readers that this project did not write, and by what a tree says about itself.

#![allow(clippy::unwrap_used, reason = "whatever a test cannot go on without fails it")]

mod edges;
mod foreign;
mod fsck;
mod golden;
mod hostile;
mod kernel;
mod listing;
mod peer;
mod refusals;
mod resuming;
mod sample;
mod scale;
mod strategy;
mod worlds;
