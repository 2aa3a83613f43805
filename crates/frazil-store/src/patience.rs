//! How long a store over a network is waited for, and who tries again.
//!
//! Invariant: one layer retries. Reads of chunks are asked for once, because the tiers above have retries, a
//! budget for them and a deadline; if both retried, an origin in trouble would get the product of the two.
//! Everything else (records, manifests, writes) has nobody above that retries, and is retried here, a few
//! times.

use std::time::Duration;

use object_store::client::ClientConfigKey;
use object_store::{BackoffConfig, RetryConfig};

/// How long a connection may take to come about.
const CONNECT: &str = "3 seconds";

/// How long the answer to a read may take to begin, retries included, and each piece of it to follow.
pub(crate) const STALL: Duration = Duration::from_secs(20);

/// How often an object store is asked before its user hears of a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Patience {
    /// Once: the caller retries.
    Once,
    /// A few times.
    Retrying,
}

impl Patience {
    /// The object store crate's retries. Its defaults are ten of them, for three minutes.
    pub(crate) fn retries(self) -> RetryConfig {
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        };
        let (max_retries, retry_timeout) = match self {
            Self::Once => (0, Duration::ZERO),
            Self::Retrying => (3, Duration::from_secs(15)),
        };
        RetryConfig { backoff, max_retries, retry_timeout }
    }
}

/// What every HTTP client must be told, whoever uses it: all share one client and its connections. A whole
/// request may take long: a layer index of a gigabyte is one request, and takes five minutes at 30 Mbit/s. A
/// chunk is short, and the deadline of its reader is shorter still.
pub(crate) fn client_settings() -> [(ClientConfigKey, &'static str); 2] {
    [(ClientConfigKey::ConnectTimeout, CONNECT), (ClientConfigKey::Timeout, "300 seconds")]
}
