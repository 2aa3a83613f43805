//! The benchmarks, run small: so that they cannot rot.

mod link;
