//! A registry reference: `[HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]`, read as `docker pull` reads it.
//!
//! Invariant: the parts are legal, so that they can be put into a URL as they are.
//! Format: the grammar of the `distribution/reference` project; OCI distribution-spec, "Pulling manifests".

use std::fmt;
use std::str::FromStr;

use super::{Digest, SourceError};

const DEFAULT_HOST: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
const OFFICIAL_NAMESPACE: &str = "library/";
const MAX_HOST_BYTES: usize = 255 + 6;
const MAX_REPOSITORY_BYTES: usize = 255;
const MAX_TAG_BYTES: usize = 128;

/// Which manifest of a repository is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Version {
    /// What a mutable tag points to now.
    Tag(String),
    /// One manifest, for ever. A tag written beside a digest only informs the reader and is dropped.
    Digest(Digest),
}

/// Where a registry keeps one image.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    host: String,
    repository: String,
    version: Version,
}

impl Reference {
    /// The registry's name, with its port if one was written.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository's full path, `library/debian` for `debian`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Which manifest of the repository.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The shortest form that reads back as this reference, always with its version: `debian:12`.
    pub fn familiar(&self) -> String {
        let name = match self.host.as_str() {
            DEFAULT_HOST => {
                self.repository.strip_prefix(OFFICIAL_NAMESPACE).unwrap_or(&self.repository).to_owned()
            }
            host => format!("{host}/{}", self.repository),
        };
        format!("{name}{}", self.version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, ":{tag}"),
            Self::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.host, self.repository, self.version)
    }
}

impl FromStr for Reference {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let malformed = |reason| SourceError::MalformedReference { text: text.to_owned(), reason };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        let (host, path) = split_host(rest);
        let (path, tag) = match path.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (path, None),
        };
        if !is_host(host) {
            return Err(malformed("the registry's name is not a host name with an optional port"));
        }
        if !is_repository(path) {
            return Err(malformed(
                "a repository is made of lowercase letters, digits, '.', '_', '-' and '/'",
            ));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(malformed("a tag is made of at most 128 letters, digits, '.', '_' and '-'"));
        }
        let repository = match host {
            DEFAULT_HOST if !path.contains('/') => format!("{OFFICIAL_NAMESPACE}{path}"),
            _ => path.to_owned(),
        };
        let version = match digest {
            Some(digest) => Version::Digest(digest),
            None => Version::Tag(tag.unwrap_or(DEFAULT_TAG).to_owned()),
        };
        Ok(Self { host: host.to_owned(), repository, version })
    }
}

/// The first component is a host only if it could not be a repository: it has a dot, a port, or is `localhost`.
fn split_host(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some(("index.docker.io" | "registry-1.docker.io", path)) => (DEFAULT_HOST, path),
        Some((first, path)) if first == "localhost" || first.contains(['.', ':', '[']) => (first, path),
        _ => (DEFAULT_HOST, text),
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => {
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            (None, after.strip_prefix(':').or((!after.is_empty()).then_some("")))
        }
        None => match host.split_once(':') {
            Some((name, port)) => (Some(name), Some(port)),
            None => (Some(host), None),
        },
    };
    let named = name.is_none_or(|name| {
        name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
    });
    let numbered = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    host.len() <= MAX_HOST_BYTES && named && numbered
}

fn is_repository(path: &str) -> bool {
    let is_component = |component: &str| {
        let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        component.bytes().all(|byte| alphanumeric(byte) || matches!(byte, b'.' | b'_' | b'-'))
            && component.bytes().next().is_some_and(alphanumeric)
            && component.bytes().last().is_some_and(alphanumeric)
            && !component.contains("..")
    };
    path.len() <= MAX_REPOSITORY_BYTES && path.split('/').all(is_component)
}

/// Whether `tag` can be a tag of a registry.
pub(super) fn is_tag(tag: &str) -> bool {
    tag.len() <= MAX_TAG_BYTES
        && !tag.starts_with(['.', '-'])
        && !tag.is_empty()
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_docker_reads_them() {
        let hex = Digest::of(b"").hex();
        for (text, full, familiar) in [
            ("debian", "docker.io/library/debian:latest", "debian:latest"),
            ("index.docker.io/library/debian", "docker.io/library/debian:latest", "debian:latest"),
            ("grafana/grafana:11", "docker.io/grafana/grafana:11", "grafana/grafana:11"),
            ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
            ("localhost:5000/a/b_c:T.1", "localhost:5000/a/b_c:T.1", "localhost:5000/a/b_c:T.1"),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
            ("quay.io/a/b", "quay.io/a/b:latest", "quay.io/a/b:latest"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), full);
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(familiar.parse::<Reference>().unwrap(), reference);
        }
        let pinned: Reference = format!("debian:12@sha256:{hex}").parse().unwrap();
        assert_eq!(pinned.to_string(), format!("docker.io/library/debian@sha256:{hex}"));
    }

    #[test]
    fn malformed_references_are_refused() {
        for text in [
            "",
            "/",
            "a//b",
            "a/../b",
            "Debian",
            "quay.io/",
            "quay.io/a:",
            "quay.io/a:-x",
            "quay.io/a:b/c",
            "quay.io:99999/a",
            "quay.io:/a",
            "-x.io/a",
            "[::1/a",
            "[::1]x/a",
            "user@host.io/a",
            "host.io/a@sha256:12",
            "host.io/a?x=y",
            "host.io/a b",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}
