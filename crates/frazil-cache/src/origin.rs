//! The last tier: the store itself.

use std::fmt;

use async_trait::async_trait;
use frazil_store::Store;
use tracing::Instrument;

use crate::{Served, Tier, TierError, Wanted};

/// The store, as a tier. What it does not have, nobody has.
#[derive(Clone, Debug)]
pub struct Origin(Store);

impl Origin {
    /// The tier of this store.
    pub fn new(store: Store) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Tier for Origin {
    async fn get(&self, wanted: &Wanted) -> Result<Served, TierError> {
        let Wanted { root, id, sealed_len } = *wanted;
        // One request to the store: each of its retries and hedges is a span of its own.
        let span = tracing::debug_span!("store_get", store = %self.0, chunk = %id, bytes = sealed_len);
        let chunk = self
            .0
            .get_chunk(root, &id)
            .instrument(span)
            .await
            .map_err(|error| TierError::from_store(root, id, self.to_string(), error))?;
        let (len, expected) = (chunk.len() as u64, u64::from(sealed_len));
        if len != expected {
            return Err(TierError::WrongLength { id, tier: self.to_string(), len, expected });
        }
        Ok(Served::by_origin(chunk))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "origin({})", self.0)
    }
}
