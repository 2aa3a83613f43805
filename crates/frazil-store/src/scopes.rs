//! Scopes: the sharing domains of a store, each with a record that all machines agree on.
//!
//! Invariant: the record decides which secret is the scope's. A machine that has another secret, or none, is
//! told so and seals nothing. What a record says of compression is vouched for by the secret; being able to
//! write to the store is not enough to turn compression on (docs/FORMAT.md, "A store").

use std::time::{SystemTime, UNIX_EPOCH};

use frazil_format::{Compression, ScopeId, ScopeSecret, WrappedKey};
use serde::{Deserialize, Serialize};

use crate::name::PlainName;
use crate::objects::{Put, Swap, Version};
use crate::record::{self, Found, as_text};
use crate::{KeyProvider, Store, StoreError, layout};

/// The scope of public base layers. No tenant can have its name.
pub const SHARED_SCOPE: &str = "shared";

/// The most scopes that are listed.
const MAX_SCOPES: usize = 100_000;

/// The most earlier ids that a record remembers.
const MAX_EARLIER: usize = 64;

/// How often a record is swapped against others who do the same.
const MAX_SWAPS: usize = 16;

/// A scope, opened: what its layers are sealed with, and how they are compressed.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The secret.
    pub secret: ScopeSecret,
    /// The policy that the record keeps.
    pub compression: Compression,
}

/// `scopes/<name>.json`: what is public of a scope.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct ScopeRecord {
    /// The scope's id, which its secret gives.
    #[serde(with = "hex_id")]
    pub scope: ScopeId,
    /// How its chunks are compressed.
    #[serde(with = "as_text")]
    pub compression: Compression,
    /// When it was made or got its secret: seconds since the epoch.
    pub since_seconds: u64,
    /// The secret, wrapped, where the key provider keeps none itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wrapped: Option<WrappedRecord>,
    /// The ids that it had before, the last one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "hex_ids")]
    pub earlier: Vec<ScopeId>,
    /// What the secret says of the name and the compression.
    #[serde(with = "hex_tag")]
    tag: [u8; 32],
}

/// A wrapped key, as JSON.
#[derive(Clone, Serialize, Deserialize, Debug)]
struct WrappedRecord {
    provider: String,
    key: String,
    wrapped: String,
}

impl ScopeRecord {
    fn new(
        name: &str,
        secret: &ScopeSecret,
        compression: Compression,
        wrapped: Option<WrappedKey>,
        earlier: Vec<ScopeId>,
    ) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            scope: secret.id(),
            compression,
            since_seconds: now.map_or(0, |now| now.as_secs()),
            wrapped: wrapped.map(WrappedRecord::new),
            earlier,
            tag: secret.record_tag(&says(name, compression)),
        }
    }

    /// Who keeps the secret: the key that wraps it in the record, or nobody but keyrings.
    pub fn wrapping_key(&self) -> Option<&str> {
        self.wrapped.as_ref().map(|wrapped| wrapped.key.as_str())
    }
}

fn says(name: &str, compression: Compression) -> String {
    format!("scope {name} compression {compression}")
}

impl WrappedRecord {
    fn new(wrapped: WrappedKey) -> Self {
        let WrappedKey { provider, key_id, bytes } = wrapped;
        Self { provider, key: key_id, wrapped: hex::encode(bytes) }
    }

    fn unwrapped(&self) -> Option<WrappedKey> {
        let bytes = hex::decode(&self.wrapped).ok()?;
        Some(WrappedKey { provider: self.provider.clone(), key_id: self.key.clone(), bytes })
    }
}

impl Store {
    /// What is public of a scope; `None` if the store has none of this name.
    pub async fn scope_record(&self, name: &str) -> Result<Option<ScopeRecord>, StoreError> {
        Ok(self.read_scope(name).await?.map(|found| found.record))
    }

    /// Every scope's name and record, by name.
    pub async fn scopes(&self) -> Result<Vec<(String, ScopeRecord)>, StoreError> {
        let mut scopes = Vec::new();
        for path in self.listed(&layout::scopes()).await?.iter().take(MAX_SCOPES) {
            let Some(name) = layout::scope_of(path) else { continue };
            if let Some(record) = self.scope_record(name).await? {
                scopes.push((name.to_owned(), record));
            }
        }
        scopes.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(scopes)
    }

    /// Makes a scope; says whether it was there, and then changes nothing.
    pub async fn create_scope(
        &self,
        name: &str,
        keys: &dyn KeyProvider,
        compression: Compression,
    ) -> Result<Put, StoreError> {
        let path = layout::scope(&PlainName::scope(name)?);
        if self.scope_record(name).await?.is_some() {
            return Ok(Put::Present);
        }
        let (secret, wrapped) = keys.first_scope_secret(name).await?;
        let record = ScopeRecord::new(name, &secret, compression, wrapped, Vec::new());
        self.objects().create(&path, record::encode(&path, record)?).await
    }

    /// Opens a scope that is there.
    pub async fn scope(&self, name: &str, keys: &dyn KeyProvider) -> Result<Scope, StoreError> {
        open(name, &self.present_scope(name).await?.record, keys).await
    }

    /// Changes how a scope's chunks are compressed from now on.
    pub async fn set_compression(
        &self,
        name: &str,
        keys: &dyn KeyProvider,
        compression: Compression,
    ) -> Result<(), StoreError> {
        for _ in 0..MAX_SWAPS {
            let found = self.present_scope(name).await?;
            let secret = open(name, &found.record, keys).await?.secret;
            let tag = secret.record_tag(&says(name, compression));
            let new = ScopeRecord { compression, tag, ..found.record };
            if let Swap::Done(_) = self.swap_scope(name, &found.version, new).await? {
                return Ok(());
            }
        }
        contended(name)
    }

    /// Gives a scope a new secret, and says its new id: what is sealed from now on has other keys, and shares
    /// nothing with what was sealed before. Nothing that is stored needs the old secret to be read. After a
    /// crash the rotation goes on with the secret that was made.
    pub async fn rotate_scope(&self, name: &str, keys: &dyn KeyProvider) -> Result<ScopeId, StoreError> {
        let Found { record, version, .. } = self.present_scope(name).await?;
        let old = open(name, &record, keys).await?;
        let bases = if name == SHARED_SCOPE { self.bases(&old.secret).await? } else { Vec::new() };
        let (secret, wrapped) = keys.next_scope_secret(name, &record.scope).await?;
        // Both before the secret changes and after: wherever this is broken off, the list stays what it was.
        for base in &bases {
            self.prepare_base(&old.secret, &secret, base).await?;
        }
        let mut earlier = vec![record.scope];
        earlier.extend(record.earlier.iter().take(MAX_EARLIER - 1));
        let new = ScopeRecord::new(name, &secret, record.compression, wrapped, earlier);
        if self.swap_scope(name, &version, new).await? == Swap::Conflict {
            return contended(name);
        }
        for base in bases {
            self.add_base(&secret, &base.diff_id, &base.image).await?;
        }
        Ok(secret.id())
    }

    async fn present_scope(&self, name: &str) -> Result<Found<ScopeRecord>, StoreError> {
        let path = layout::scope(&PlainName::scope(name)?);
        let not_found = || StoreError::NotFound { path: path.to_string() };
        self.read_scope(name).await?.ok_or_else(not_found)
    }

    async fn read_scope(&self, name: &str) -> Result<Option<Found<ScopeRecord>>, StoreError> {
        record::find(self.objects(), &layout::scope(&PlainName::scope(name)?)).await
    }

    async fn swap_scope(&self, name: &str, was: &Version, new: ScopeRecord) -> Result<Swap, StoreError> {
        let path = layout::scope(&PlainName::scope(name)?);
        let new = record::encode(&path, new)?;
        self.objects().swap(&path, Some(was), new).await
    }
}

async fn open(name: &str, record: &ScopeRecord, keys: &dyn KeyProvider) -> Result<Scope, StoreError> {
    let path = layout::scope(&PlainName::scope(name)?);
    let reason = "its secret does not vouch for what it says: somebody changed it";
    let damaged = || StoreError::damaged(&path, reason);
    let wrapped = record.wrapped.as_ref().map(|wrapped| wrapped.unwrapped().ok_or_else(damaged));
    let secret = keys.scope_secret(name, &record.scope, wrapped.transpose()?.as_ref()).await?;
    if secret.id() != record.scope || !secret.vouches_for(&says(name, record.compression), &record.tag) {
        return Err(damaged());
    }
    Ok(Scope { secret, compression: record.compression })
}

fn contended<T>(name: &str) -> Result<T, StoreError> {
    Err(StoreError::Contended { path: layout::scope(&PlainName::scope(name)?).to_string() })
}

/// A scope id as hexadecimal.
mod hex_id {
    use frazil_format::ScopeId;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn parse<E: Error>(text: &str) -> Result<ScopeId, E> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(E::custom)?;
        Ok(ScopeId::from_bytes(bytes))
    }

    pub(super) fn serialize<S: Serializer>(id: &ScopeId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ScopeId, D::Error> {
        parse(&String::deserialize(deserializer)?)
    }
}

/// Scope ids as hexadecimal.
mod hex_ids {
    use frazil_format::ScopeId;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(ids: &[ScopeId], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(ids.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ScopeId>, D::Error> {
        Vec::<String>::deserialize(deserializer)?.iter().map(|text| super::hex_id::parse(text)).collect()
    }
}

/// A tag as hexadecimal.
pub(crate) mod hex_tag {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(tag: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(tag))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let mut tag = [0; 32];
        hex::decode_to_slice(String::deserialize(deserializer)?, &mut tag).map_err(D::Error::custom)?;
        Ok(tag)
    }

    /// A tag that may be missing.
    pub(crate) mod optional {
        use serde::{Deserializer, Serializer};

        pub(crate) fn serialize<S: Serializer>(
            tag: &Option<[u8; 32]>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match tag {
                Some(tag) => super::serialize(tag, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<[u8; 32]>, D::Error> {
            super::deserialize(deserializer).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_written_as_the_format_document_shows_it() {
        let secret = ScopeSecret::from_bytes(std::array::from_fn(|at| at as u8));
        let record = ScopeRecord::new("acme", &secret, Compression::default(), None, Vec::new());
        let record = ScopeRecord { since_seconds: 1_700_000_000, ..record };
        let text = record::encode(&object_store::path::Path::from("scopes/acme.json"), record).unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        let document = include_str!("../../../docs/FORMAT.md");
        assert!(document.contains(&format!("```json\n{text}```\n")), "docs/FORMAT.md lacks {text}");
    }
}
