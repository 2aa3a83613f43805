//! EROFS images judged by readers that this project did not write, and by what a tree says about itself.

mod edges;
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
