//! The small records of a store: JSON that people can read, versioned, and doubted when it is read.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use frazil_format::{ManifestId, RootId};
use object_store::path::Path;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::objects::{Objects, Snapshot, Version};

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

    /// The id of a store whose marker has not been read.
    pub(crate) fn not_yet_known() -> Self {
        Self(String::new())
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

/// `names/<tenant>/<image name>`: what the name stands for, and who is about to change that.
///
/// A record without a reference is a name that nobody has yet.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub(crate) struct NameRecord {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    root: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    manifest: Option<String>,
    /// Drawn for every version: no two versions of a record are equal.
    #[serde(default)]
    stamp: String,
    /// The root that a publication which is under way is going to refer to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    claim: Option<String>,
}

impl NameRecord {
    pub(crate) fn new(reference: Option<Reference>, claim: Option<RootId>) -> Result<Self, StoreError> {
        Ok(Self {
            root: reference.map(|reference| reference.root.to_string()),
            manifest: reference.map(|reference| reference.manifest.to_string()),
            stamp: crate::random::stamp()?,
            claim: claim.map(|root| root.to_string()),
        })
    }

    /// What the name stands for.
    pub(crate) fn reference(&self, path: &Path) -> Result<Option<Reference>, StoreError> {
        match (&self.root, &self.manifest) {
            (None, None) => Ok(None),
            (Some(root), Some(manifest)) => {
                Ok(Some(Reference { root: id(path, root)?, manifest: id(path, manifest)? }))
            }
            _ => Err(StoreError::damaged(path, "it has a root or a manifest, and not both")),
        }
    }

    /// The root that is claimed.
    pub(crate) fn claim(&self, path: &Path) -> Result<Option<RootId>, StoreError> {
        self.claim.as_ref().map(|root| id(path, root)).transpose()
    }
}

/// An id in the record at a path.
fn id<T: FromStr<Err: fmt::Display>>(path: &Path, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| StoreError::damaged(path, error))
}

/// `gc/alarm.json`: somebody read a root that nobody should read any more.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Alarm {
    /// Whether it stands, or a person cleared it.
    pub state: AlarmState,
    /// The root that was read.
    #[serde(with = "as_text")]
    pub root: RootId,
    /// What was read: `chunk`, `manifest`, `name` or `mount`.
    pub access: String,
    /// The machine that read it.
    pub host: String,
    /// The process that read it.
    pub process: u32,
    /// Drawn for every version: no two versions of a record are equal.
    #[serde(default)]
    pub(crate) stamp: String,
}

/// Whether an alarm stands.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum AlarmState {
    /// Nothing is deleted.
    Raised,
    /// A person has looked into it.
    Cleared,
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
    /// Nobody should read it any more; a reader that does is served, and raises an alarm.
    Expired,
    /// Its chunks are being deleted, or are gone.
    Deleted,
}

impl fmt::Display for RootState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Expired => "expired",
            Self::Deleted => "deleted",
        })
    }
}

/// `roots/<root>/state.json`.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub(crate) struct RootRecord {
    pub(crate) state: RootState,
    /// How many states the root has had before: no two records of a root are equal.
    #[serde(default)]
    pub(crate) revision: u64,
}

/// What a name stands for: a manifest in a root.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Reference {
    /// The root where the manifest and all its chunks lie.
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
        .map_err(|error| StoreError::damaged(path, error))?;
    text.push(b'\n');
    Ok(text.into())
}

/// A record as it was read.
pub(crate) struct Found<T> {
    pub(crate) record: T,
    pub(crate) version: Version,
    /// When it was written, by the store's clock, in milliseconds since 1970.
    pub(crate) written_ms: i64,
}

/// The record at this path, which may be replaced; `None` if it is not there.
pub(crate) async fn find<T: DeserializeOwned>(
    objects: &Objects,
    path: &Path,
) -> Result<Option<Found<T>>, StoreError> {
    match find_any(objects, path).await? {
        Some(Found { record, version, written_ms }) => {
            Ok(Some(Found { record: record?, version, written_ms }))
        }
        None => Ok(None),
    }
}

/// As [`find`], but also finds a record that cannot be understood: it can be replaced all the same.
pub(crate) async fn find_any<T: DeserializeOwned>(
    objects: &Objects,
    path: &Path,
) -> Result<Option<Found<Result<T, StoreError>>>, StoreError> {
    match objects.snapshot(path, MAX_RECORD_BYTES).await {
        Ok(Snapshot { content, version, written_ms }) => {
            Ok(Some(Found { record: decode(path, &content), version, written_ms }))
        }
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(too_long(path, error)),
    }
}

/// The record at this path.
pub(crate) async fn read<T: DeserializeOwned>(objects: &Objects, path: &Path) -> Result<T, StoreError> {
    let bytes = objects.read(path, MAX_RECORD_BYTES).await.map_err(|error| too_long(path, error))?;
    decode(path, &bytes)
}

/// An object that is longer than any record is not a record.
fn too_long(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Oversized { len, limit, .. } => {
            StoreError::damaged(path, format!("{len} bytes are more than the {limit} of the longest record"))
        }
        error => error,
    }
}

fn decode<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, StoreError> {
    let version: VersionOnly =
        serde_json::from_slice(bytes).map_err(|error| StoreError::damaged(path, error))?;
    if version.format != FORMAT {
        return Err(StoreError::UnknownFormat {
            path: path.to_string(),
            found: version.format,
            known: FORMAT,
        });
    }
    serde_json::from_slice::<Versioned<T>>(bytes)
        .map(|versioned| versioned.record)
        .map_err(|error| StoreError::damaged(path, error))
}

/// Ids in records are written as they are printed, whatever their own serialisation is.
pub(crate) mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<T: Display, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
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
        let alarm = Alarm {
            state: AlarmState::Raised,
            root: RootId::FIRST,
            access: "chunk".to_owned(),
            host: "worker-7".to_owned(),
            process: 4711,
            stamp: "c1b2a39485760f1e".to_owned(),
        };
        let records = [
            encode(&path, Marker { store_id }).unwrap(),
            encode(&path, RootRecord { state: RootState::Active, revision: 0 }).unwrap(),
            encode(&path, name(Some(RootId::from_number(2)))).unwrap(),
            encode(&path, alarm).unwrap(),
        ];
        for text in &records {
            let text = std::str::from_utf8(text).unwrap();
            assert!(document.contains(&format!("```json\n{text}```\n")), "docs/FORMAT.md lacks {text}");
        }
        let read = decode::<NameRecord>(&path, &records[2]).unwrap();
        assert_eq!(read.reference(&path).unwrap(), Some(reference()));
        assert_eq!(read.claim(&path).unwrap(), Some(RootId::from_number(2)));
    }

    fn name(claim: Option<RootId>) -> NameRecord {
        NameRecord {
            stamp: "0f1e2d3c4b5a6978".to_owned(),
            ..NameRecord::new(Some(reference()), claim).unwrap()
        }
    }

    #[test]
    fn half_a_reference_is_damage_and_no_reference_is_nobody() {
        let path = Path::from("names/default/app");
        let whole = name(None);
        assert!(NameRecord { root: None, ..whole.clone() }.reference(&path).is_err());
        assert!(NameRecord { manifest: Some("abab".to_owned()), ..whole.clone() }.reference(&path).is_err());
        assert_eq!(NameRecord { root: None, manifest: None, ..whole }.reference(&path).unwrap(), None);
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
