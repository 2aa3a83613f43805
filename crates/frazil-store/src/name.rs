//! Names that people choose: of images, of tenants and of scopes.
//!
//! Invariant: whatever such a name says, its place in a store or a keyring is one file name of its own, inside
//! the directory that is meant.

use std::fmt;
use std::str::FromStr;

use crate::{SHARED_SCOPE, StoreError, percent};

/// The longest image name, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// The longest file name that a name may become, in bytes: a file system takes 255, and an atomic write puts
/// the new content beside the old under a suffix of its own.
const MAX_FILE_NAME_BYTES: usize = 240;

/// The longest name of a tenant or a scope, in bytes.
const MAX_PLAIN_NAME_BYTES: usize = 64;

/// The name of a tenant, if the text can be one: its keys, scope and references go by it.
///
/// # Errors
/// [`StoreError::BadPlainName`], also for the name of the scope that all tenants share.
pub fn tenant_name(text: &str) -> Result<String, StoreError> {
    let name = PlainName::tenant(text)?;
    match name.as_str() {
        SHARED_SCOPE => Err(StoreError::BadPlainName { kind: "tenant", text: text.to_owned() }),
        name => Ok(name.to_owned()),
    }
}

/// The name of an image in a tenant's list, such as `docker.io/library/python:3.12`: any printable text of up
/// to 255 bytes (fewer when many of its characters need encoding), without a space at its ends.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ImageName(String);

impl ImageName {
    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as one file name.
    pub(crate) fn to_file_name(&self) -> String {
        encode(&self.0)
    }

    /// The name whose [`ImageName::to_file_name`] this is.
    pub(crate) fn from_file_name(file_name: &str) -> Option<Self> {
        let name = String::from_utf8(percent::decode(file_name)?).ok()?.parse::<Self>().ok()?;
        (name.to_file_name() == file_name).then_some(name)
    }
}

impl FromStr for ImageName {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let bad = |reason| Err(StoreError::BadName { text: text.to_owned(), reason });
        if text.is_empty() {
            return bad("it is empty");
        }
        if text.len() > MAX_NAME_BYTES || encode(text).len() > MAX_FILE_NAME_BYTES {
            return bad("it is too long");
        }
        if text.chars().any(char::is_control) {
            return bad("it has control characters");
        }
        if text.trim() != text {
            return bad("it starts or ends with a space");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that is a file name as it stands.
pub(crate) struct PlainName<'a>(&'a str);

impl<'a> PlainName<'a> {
    pub(crate) fn tenant(text: &'a str) -> Result<Self, StoreError> {
        Self::parse("tenant", text)
    }

    pub(crate) fn scope(text: &'a str) -> Result<Self, StoreError> {
        Self::parse("scope", text)
    }

    pub(crate) fn as_str(&self) -> &'a str {
        self.0
    }

    fn parse(kind: &'static str, text: &'a str) -> Result<Self, StoreError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let well_formed = text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.len() <= MAX_PLAIN_NAME_BYTES
            && text.bytes().all(allowed);
        if well_formed {
            Ok(Self(text))
        } else {
            Err(StoreError::BadPlainName { kind, text: text.to_owned() })
        }
    }
}

/// A dot at the start would hide the file, or be `.` or `..`; the rest of the refused bytes mean something to
/// file systems, shells, or the object store crate.
fn encode(name: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:@+=,".contains(&byte);
    match name.strip_prefix('.') {
        Some(rest) => format!("%2E{}", percent::encode(rest.as_bytes(), keep)),
        None => percent::encode(name.as_bytes(), keep),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_file_name_of_its_own() {
        let names = [
            "python",
            "a/b",
            "a%2Fb",
            ".",
            "..",
            "../../etc/passwd",
            ".hidden",
            "x#1",
            "grün",
            "a b",
            "a:b@c",
        ];
        let mut file_names = std::collections::HashSet::new();
        for text in names {
            let name: ImageName = text.parse().unwrap();
            let file_name = name.to_file_name();
            assert!(!file_name.contains(['/', '#']) && !file_name.starts_with('.'), "{file_name}");
            assert_eq!(ImageName::from_file_name(&file_name), Some(name));
            assert!(file_names.insert(file_name));
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        let long = "x".repeat(241);
        for text in ["", " x", "x ", "a\nb", "a\0b", "\u{85}", long.as_str()] {
            assert!(text.parse::<ImageName>().is_err(), "{text:?}");
        }
        assert!("x".repeat(240).parse::<ImageName>().is_ok());
    }

    #[test]
    fn a_foreign_file_name_is_no_name() {
        for file_name in ["a%2fb", "a b", "%41", "%FF", ".x", "%"] {
            assert_eq!(ImageName::from_file_name(file_name), None, "{file_name}");
        }
    }

    #[test]
    fn a_label_cannot_leave_its_directory() {
        for text in ["", ".", "..", "a/b", "-x", ".key", "a b", "é", &"x".repeat(65)] {
            assert!(PlainName::tenant(text).is_err(), "{text:?}");
        }
        for text in ["default", "team-7.eu_1", "7"] {
            assert_eq!(PlainName::scope(text).map(|name| name.as_str()).ok(), Some(text));
        }
    }
}
