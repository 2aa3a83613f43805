//! What the tests build on.

pub(crate) mod agent;
pub(crate) mod log;
pub(crate) mod mounts;
pub(crate) mod one_file;
pub(crate) mod patient;
pub(crate) mod posix;
pub(crate) mod sample;
pub(crate) mod tier;
