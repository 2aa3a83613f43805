//! Starters whose names are gone: left by a removal that was killed, or by profiles that were learnt late.

use std::collections::HashSet;

use object_store::path::Path;

use super::census::Census;
use crate::{Store, StoreError, layout};

/// Deletes the starters of names that nobody has.
pub(super) async fn sweep(store: &Store, census: &Census) -> Result<(), StoreError> {
    let named: HashSet<&Path> = census.entries.iter().map(|entry| &entry.path).collect();
    let starters: Vec<Path> =
        store.objects().all_below(&layout::starters(), |listed| Some(listed.path)).await?;
    for name in starters.iter().map(layout::name_of_starter).filter(|name| !named.contains(name)) {
        // It may have been published since the census was taken, or not be readable.
        if let Ok(None) = store.read_name(&name).await {
            tracing::info!(%name, "deleting the starter of a name that is gone");
            store.drop_starter(&name).await;
        }
    }
    Ok(())
}
