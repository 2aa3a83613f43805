//! Journals: how far a migration or a deletion is, for whoever goes on with it after a crash, and for people.
//!
//! Nothing depends on them for safety: what is really there is looked up again. They save work and keep totals.

use frazil_format::RootId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::objects::Durability;
use crate::record::{self, Found};
use crate::{Store, StoreError, layout};

/// `gc/migrations/<root>.json`.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize, Debug)]
pub(super) struct MigrationJournal {
    /// The roots that the layer indexes were copied to.
    #[serde(default)]
    pub(super) layers_copied_to: Vec<String>,
}

/// `gc/deletions/<root>.json`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Debug)]
pub(super) struct DeletionJournal {
    /// Objects deleted so far.
    pub(super) objects: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Whether a pass over the root found nothing any more.
    pub(super) complete: bool,
}

pub(crate) async fn read<T: DeserializeOwned + Default>(
    store: &Store,
    kind: &str,
    root: RootId,
) -> Result<T, StoreError> {
    match record::find::<T>(store.objects(), &layout::journal(kind, root)).await {
        Ok(found) => Ok(found.map(|Found { record, .. }| record).unwrap_or_default()),
        Err(StoreError::Damaged { path, reason }) => {
            tracing::warn!(path, reason, "a journal is damaged, and begins again");
            Ok(T::default())
        }
        Err(error) => Err(error),
    }
}

pub(crate) async fn write<T: Serialize>(
    store: &Store,
    kind: &str,
    root: RootId,
    journal: T,
) -> Result<(), StoreError> {
    let path = layout::journal(kind, root);
    let record = record::encode(&path, journal)?;
    store.objects().put(&path, record, Durability::AtOnce).await
}
