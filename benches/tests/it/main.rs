//! The benchmarks, run small: so that they cannot rot.

mod cold_start;
mod link;
