//! What the tests of several crates need to be cruel with. Behind the feature `testing`, and in no product.

mod carrier;
mod fault;
mod proxy;
mod pump;

pub use fault::Fault;
pub use proxy::{FaultProxy, ProxyCounts};
