//! The allow-list of public base layers: whatever image they appear in, they are sealed under the shared scope.
//!
//! Invariant: a layer is on the list only while the shared scope's secret vouches for its record. A record that it
//! does not vouch for, whoever wrote it, is as if it were not there: the layer is sealed for its tenant, which shares
//! less and reveals nothing.

use std::collections::HashSet;

use frazil_format::{DiffId, ScopeSecret};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use crate::objects::Durability;
use crate::record::{self, Found};
use crate::scopes::hex_tag;
use crate::{Store, StoreError, layout};

/// The most base layers of a store.
const MAX_BASES: usize = 100_000;

/// How many records are read at once.
const CONCURRENT_READS: usize = 16;

/// A public base layer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Base {
    /// The layer.
    pub diff_id: DiffId,
    /// The image that it was taken from, as whoever added it called it. Nothing proves it.
    pub image: String,
}

/// `bases/<diff id>.json`.
#[derive(Serialize, Deserialize, Debug)]
struct BaseRecord {
    image: String,
    #[serde(with = "hex_tag")]
    tag: [u8; 32],
    /// While the shared scope's secret is rotated: what the next one says of it.
    #[serde(with = "hex_tag::optional", skip_serializing_if = "Option::is_none", default)]
    next: Option<[u8; 32]>,
}

impl BaseRecord {
    fn is_vouched_for(&self, shared: &ScopeSecret, diff_id: &DiffId) -> bool {
        let mut tags = [Some(self.tag), self.next].into_iter().flatten();
        tags.any(|tag| shared.vouches_for(&says(diff_id), &tag))
    }
}

fn says(diff_id: &DiffId) -> String {
    format!("base {diff_id}")
}

impl Store {
    /// Puts a layer on the list.
    pub async fn add_base(
        &self,
        shared: &ScopeSecret,
        diff_id: &DiffId,
        image: &str,
    ) -> Result<(), StoreError> {
        self.put_base(diff_id, image, shared.record_tag(&says(diff_id)), None).await
    }

    /// Lets a layer that is on the list stay on it when the shared scope's secret becomes the next one.
    pub(crate) async fn prepare_base(
        &self,
        shared: &ScopeSecret,
        next: &ScopeSecret,
        base: &Base,
    ) -> Result<(), StoreError> {
        let [tag, next] = [shared, next].map(|secret| secret.record_tag(&says(&base.diff_id)));
        self.put_base(&base.diff_id, &base.image, tag, Some(next)).await
    }

    async fn put_base(
        &self,
        diff_id: &DiffId,
        image: &str,
        tag: [u8; 32],
        next: Option<[u8; 32]>,
    ) -> Result<(), StoreError> {
        let path = layout::base(diff_id);
        let record = BaseRecord { image: image.to_owned(), tag, next };
        self.objects().put(&path, record::encode(&path, record)?, Durability::AtOnce).await
    }

    /// Takes a layer from the list; says whether it was on it. What was sealed stays as it is.
    pub async fn remove_base(&self, diff_id: &DiffId) -> Result<bool, StoreError> {
        self.objects().delete(&layout::base(diff_id)).await
    }

    /// The layers that have a record on the list, whether anybody vouches for it or not.
    pub async fn claimed_bases(&self) -> Result<HashSet<DiffId>, StoreError> {
        let records = self.listed(&layout::bases()).await?;
        Ok(records.iter().filter_map(layout::base_of).take(MAX_BASES).collect())
    }

    /// Every layer on the list, by its diff id.
    pub async fn bases(&self, shared: &ScopeSecret) -> Result<Vec<Base>, StoreError> {
        let mut diff_ids: Vec<DiffId> = self.claimed_bases().await?.into_iter().collect();
        diff_ids.sort_unstable();
        let read = diff_ids.iter().map(|diff_id| self.base(shared, diff_id));
        let found: Vec<_> = stream::iter(read).buffered(CONCURRENT_READS).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The layer, if it is on the list.
    pub async fn base(&self, shared: &ScopeSecret, diff_id: &DiffId) -> Result<Option<Base>, StoreError> {
        let path = layout::base(diff_id);
        let Some(Found { record, .. }) = record::find::<BaseRecord>(self.objects(), &path).await? else {
            return Ok(None);
        };
        if !record.is_vouched_for(shared, diff_id) {
            tracing::warn!(%path, "nobody of the shared scope vouches for this base layer: it counts as private");
            return Ok(None);
        }
        Ok(Some(Base { diff_id: *diff_id, image: record.image }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_layer_is_written_as_the_format_document_shows_it() {
        let secret = ScopeSecret::from_bytes(std::array::from_fn(|at| at as u8));
        let diff_id = DiffId::from_bytes(std::array::from_fn(|at| 0x20 + at as u8));
        let image = "docker://docker.io/library/debian:13".to_owned();
        let record = BaseRecord { image, tag: secret.record_tag(&says(&diff_id)), next: None };
        let text = record::encode(&layout::base(&diff_id), record).unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        let document = include_str!("../../../docs/FORMAT.md");
        assert!(document.contains(&format!("```json\n{text}```\n")), "docs/FORMAT.md lacks {text}");
    }

    #[tokio::test]
    async fn a_base_stays_on_the_list_wherever_a_rotation_of_the_secret_ends() {
        let directory = tempfile::tempdir().unwrap();
        let location = crate::StoreLocation::directory(directory.path()).unwrap();
        let store = Store::open_or_create(&location, &Default::default()).await.unwrap();
        let [old, new, other] = [1, 2, 3].map(|byte| ScopeSecret::from_bytes([byte; 32]));
        let base = Base { diff_id: DiffId::from_bytes([7; 32]), image: "debian".to_owned() };
        store.add_base(&old, &base.diff_id, &base.image).await.unwrap();
        assert_eq!(store.bases(&new).await.unwrap(), []);
        store.prepare_base(&old, &new, &base).await.unwrap();
        for secret in [&old, &new] {
            assert_eq!(store.bases(secret).await.unwrap(), std::slice::from_ref(&base));
        }
        assert_eq!(store.bases(&other).await.unwrap(), []);
        store.add_base(&new, &base.diff_id, &base.image).await.unwrap();
        assert_eq!(store.bases(&old).await.unwrap(), []);
    }
}
