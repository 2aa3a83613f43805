//! The small records of a store: JSON that people can read, versioned, and doubted when it is read.

use std::fmt;

use bytes::Bytes;
use frazil_format::{ManifestId, RootId};
use object_store::path::Path;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::objects::Objects;

/// The version of every record's format.
pub(crate) const FORMAT: u32 = 1;

/// The longest record, in bytes.
const MAX_RECORD_BYTES: u64 = 64 << 10;

/// A store's own name, drawn at random when it is made: 32 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoreId(String);

impl StoreId {
    pub(crate) fn generate() -> Result<Self, StoreError> {
        crate::random::bytes::<16>().map(|bytes| Self(hex::encode(bytes)))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_well_formed(&self) -> bool {
        self.0.len() == 32 && self.0.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `frazil.json`.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct Marker {
    pub(crate) store_id: StoreId,
}

/// Where a root is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RootState {
    /// It is written and read.
    Active,
    /// It is read only; what lives in it is being copied to an active root.
    Retired,
    /// Nobody should read it any more; who does raises an alarm and is served.
    Expired,
    /// Its chunks are being deleted, or are gone.
    Deleted,
}

/// `roots/<root>/state.json`.
#[derive(Serialize, Deserialize, Debug)]
pub(crate) struct RootRecord {
    pub(crate) state: RootState,
}

/// What a name stands for: a manifest in a root.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Reference {
    /// The root that holds the manifest and all its chunks.
    #[serde(with = "as_text")]
    pub root: RootId,
    /// The manifest.
    #[serde(with = "as_text")]
    pub manifest: ManifestId,
}

/// A record as it is stored: its format's version, then its own fields.
#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    format: u32,
    #[serde(flatten)]
    record: T,
}

#[derive(Deserialize)]
struct VersionOnly {
    format: u32,
}

/// The record as it is stored.
pub(crate) fn encode<T: Serialize>(path: &Path, record: T) -> Result<Bytes, StoreError> {
    let mut text = serde_json::to_vec_pretty(&Versioned { format: FORMAT, record })
        .map_err(|error| StoreError::Damaged { path: path.to_string(), reason: error.to_string() })?;
    text.push(b'\n');
    Ok(text.into())
}

/// The record at this path.
pub(crate) async fn read<T: DeserializeOwned>(objects: &Objects, path: &Path) -> Result<T, StoreError> {
    decode(path, &objects.read(path, MAX_RECORD_BYTES).await?)
}

fn decode<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, StoreError> {
    let damaged =
        |error: serde_json::Error| StoreError::Damaged { path: path.to_string(), reason: error.to_string() };
    let version: VersionOnly = serde_json::from_slice(bytes).map_err(damaged)?;
    if version.format != FORMAT {
        return Err(StoreError::UnknownFormat {
            path: path.to_string(),
            found: version.format,
            known: FORMAT,
        });
    }
    serde_json::from_slice::<Versioned<T>>(bytes).map(|versioned| versioned.record).map_err(damaged)
}

/// Ids in records are written as they are printed, whatever their own serialisation is.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<T: Display, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> Reference {
        Reference { root: RootId::FIRST, manifest: ManifestId::from_bytes([0xab; 32]) }
    }

    #[test]
    fn records_are_written_as_the_format_document_shows_them() {
        let document = include_str!("../../../docs/FORMAT.md");
        let path = Path::from("a/record");
        let store_id = StoreId("5bd3a2e98f0c4a7db1c6e8f0a1b2c3d4".to_owned());
        let records = [
            encode(&path, Marker { store_id }).unwrap(),
            encode(&path, RootRecord { state: RootState::Active }).unwrap(),
            encode(&path, reference()).unwrap(),
        ];
        for text in &records {
            let text = std::str::from_utf8(text).unwrap();
            assert!(document.contains(&format!("```json\n{text}```\n")), "docs/FORMAT.md lacks {text}");
        }
        assert_eq!(decode::<Reference>(&path, &records[2]).unwrap(), reference());
    }

    #[test]
    fn a_record_of_a_later_format_is_refused_by_its_version() {
        let path = Path::from("frazil.json");
        let error = decode::<Marker>(&path, br#"{"format": 2, "everything": "else"}"#).unwrap_err();
        assert!(matches!(error, StoreError::UnknownFormat { found: 2, known: 1, .. }), "{error}");
    }

    #[test]
    fn a_damaged_record_names_itself() {
        let path = Path::from("roots/00000001/state.json");
        for text in ["", "{", "[]", r#"{"state":"active"}"#, r#"{"format":1,"state":"paused"}"#, "\0\0\0\0"] {
            let error = decode::<RootRecord>(&path, text.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with("roots/00000001/state.json is damaged: "), "{error}");
        }
    }
}
