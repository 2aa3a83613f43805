//! How large an image may become, checked while it grows and not only once it is there.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ConvertError;

/// A number of bytes that all layers of an image share.
#[derive(Debug)]
pub(crate) struct Allowance {
    what: &'static str,
    limit: u64,
    used: AtomicU64,
}

impl Allowance {
    pub(crate) fn new(what: &'static str, limit: u64) -> Self {
        Self { what, limit, used: AtomicU64::new(0) }
    }

    /// Uses up this many bytes, or says that there are not that many left.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), ConvertError> {
        let add = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.limit);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(()),
            Err(_) => Err(ConvertError::TooLarge { what: self.what, limit: self.limit }),
        }
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}
