//! Where a store is: the one place that reads `--store`.
//!
//! A directory, or with the feature `cloud` a bucket, or a directory store that a web server publishes. Other kinds
//! of stores become variants here and in [`crate::backend`], and nowhere else.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{StoreError, percent};

/// The schemes that need the feature `cloud`, so that their users read that and not "no such directory".
const OF_CLOUD: [&str; 5] = ["s3", "gs", "az", "http", "https"];

/// Where a store is. Printed as a URL; what is printed parses to the same location.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum StoreLocation {
    /// A directory, by its absolute path.
    Directory(PathBuf),
    /// A prefix in a bucket.
    #[cfg(feature = "cloud")]
    Bucket(crate::bucket::BucketUrl),
    /// A directory store that a web server publishes.
    #[cfg(feature = "cloud")]
    Published(crate::published::PublishedUrl),
}

impl StoreLocation {
    /// The store in this directory; a relative path starts at the current directory.
    pub fn directory(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        std::path::absolute(path)
            .map(Self::Directory)
            .map_err(|source| StoreError::io("find the directory", path.display(), source))
    }
}

impl FromStr for StoreLocation {
    type Err = StoreError;

    /// Reads a path, `file:///PATH`, or the URL of a bucket or of a published store.
    fn from_str(text: &str) -> Result<Self, StoreError> {
        let bad = |reason| StoreError::BadLocation { text: text.to_owned(), reason };
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        match text.split_once("://") {
            None => Self::directory(text),
            Some(("file", rest)) => {
                let path = rest.strip_prefix("localhost").unwrap_or(rest);
                if !path.starts_with('/') {
                    return Err(bad("a file URL has three slashes and an absolute path"));
                }
                let path = percent::decode(path).ok_or_else(|| bad("its percent-encoding is broken"))?;
                Self::directory(Path::new(&OsString::from_vec(path)))
            }
            #[cfg(feature = "cloud")]
            Some((scheme, rest)) if let Some(provider) = crate::bucket::Provider::of_scheme(scheme) => {
                crate::bucket::BucketUrl::parse(provider, rest).map(Self::Bucket).map_err(bad)
            }
            #[cfg(feature = "cloud")]
            Some((scheme, rest)) if let Some(url) = crate::published::PublishedUrl::parse(scheme, rest) => {
                url.map(Self::Published).map_err(bad)
            }
            Some((scheme, _)) if OF_CLOUD.contains(&scheme) => {
                Err(StoreError::LocationNotBuilt { text: text.to_owned(), scheme: scheme.to_owned() })
            }
            Some((scheme, _)) if is_scheme(scheme) => Err(bad("no store has such a scheme")),
            Some(_) => Self::directory(text),
        }
    }
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => {
                let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-~+=,@:".contains(&byte);
                write!(f, "file://{}", percent::encode(path.as_os_str().as_bytes(), keep))
            }
            #[cfg(feature = "cloud")]
            Self::Bucket(url) => url.fmt(f),
            #[cfg(feature = "cloud")]
            Self::Published(url) => url.fmt(f),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_prints_as_what_parses_to_it() {
        for path in ["/srv/store", "/a b/%41/ü", "/x://y", "/"] {
            let location = StoreLocation::Directory(PathBuf::from(path));
            assert_eq!(location.to_string().parse::<StoreLocation>().unwrap(), location);
        }
        let odd = StoreLocation::Directory(PathBuf::from(OsString::from_vec(b"/caf\xe9".to_vec())));
        assert_eq!(odd.to_string(), "file:///caf%E9");
        assert_eq!(odd.to_string().parse::<StoreLocation>().unwrap(), odd);
    }

    #[test]
    fn a_relative_path_starts_at_the_current_directory() {
        let here = std::env::current_dir().unwrap();
        assert_eq!("store".parse::<StoreLocation>().unwrap(), StoreLocation::Directory(here.join("store")));
    }

    #[cfg(not(feature = "cloud"))]
    #[test]
    fn stores_that_were_left_out_of_the_build_are_refused_by_name() {
        for url in ["s3://bucket/prefix", "gs://bucket", "az://container/x", "https://host/path"] {
            let error = url.parse::<StoreLocation>().unwrap_err();
            assert!(matches!(error, StoreError::LocationNotBuilt { .. }), "{url}: {error}");
            assert!(error.to_string().contains("built without"), "{error}");
        }
    }

    #[test]
    fn what_names_no_store_is_refused() {
        for text in ["", "ftp://host/x", "file://host/x", "file://x", "file:///%zz"] {
            let error = text.parse::<StoreLocation>().unwrap_err();
            assert!(matches!(error, StoreError::BadLocation { .. }), "{text}: {error}");
        }
    }
}
