//! Where an image comes from, as a person writes it: skopeo's `containers-transports(5)`.
//!
//! Invariant: `Display` writes what `FromStr` reads. Parsing looks at the text alone; only the hint of an
//! error looks at the file system, to guess what was meant.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::reference::Reference;
use super::{Digest, SourceError};

/// The name of an image whose path has none, such as `oci:/`.
const NAMELESS: &str = "image";

/// One image somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// `docker://HOST[:PORT]/REPO[:TAG|@DIGEST]`: a registry.
    Registry(Reference),
    /// `oci:DIR[:TAG|:@DIGEST]`: an OCI layout in a directory.
    OciLayout {
        /// The layout's directory.
        dir: PathBuf,
        /// Which image of the layout; needed if it holds several.
        choice: Option<LayoutChoice>,
    },
    /// `oci-archive:FILE[:TAG|:@DIGEST]`: an OCI layout in an uncompressed tar file.
    OciArchive {
        /// The tar file.
        file: PathBuf,
        /// Which image of the layout; needed if it holds several.
        choice: Option<LayoutChoice>,
    },
    /// `docker-archive:FILE[:REF|:@INDEX]`: what `docker save` writes.
    DockerArchive {
        /// The tar file.
        file: PathBuf,
        /// Which image of the file; needed if it holds several.
        choice: Option<ArchiveChoice>,
    },
}

/// One of the images of an OCI layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutChoice {
    /// The image that the layout's index has under this name.
    Tag(String),
    /// The manifest of this digest, which the layout's index names.
    Digest(Digest),
}

/// One of the images of a docker archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveChoice {
    /// The image that carries this repository tag.
    Reference(Reference),
    /// The image at this position of the archive's list, from 0.
    Index(usize),
}

impl SourceSpec {
    /// The name that the image gets when its user gives none: `host/repo:tag`, or a file's name and tag.
    pub fn default_name(&self) -> String {
        match self {
            Self::Registry(reference) => reference.familiar(),
            Self::OciLayout { dir, choice } => chosen(path_name(dir), choice.as_ref()),
            Self::OciArchive { file, choice } => chosen(archive_name(file), choice.as_ref()),
            Self::DockerArchive { choice: Some(ArchiveChoice::Reference(reference)), .. } => {
                reference.familiar()
            }
            Self::DockerArchive { file, .. } => archive_name(file),
        }
    }
}

fn chosen(name: String, choice: Option<&LayoutChoice>) -> String {
    match choice {
        Some(LayoutChoice::Tag(tag)) => format!("{name}:{}", plain(tag)),
        Some(LayoutChoice::Digest(digest)) => format!("{name}@{digest}"),
        None => name,
    }
}

fn path_name(path: &Path) -> String {
    match path.file_name() {
        Some(name) => plain(&name.to_string_lossy()),
        None => NAMELESS.to_owned(),
    }
}

fn archive_name(file: &Path) -> String {
    let name = path_name(file);
    let stem = name.strip_suffix(".tar").unwrap_or(&name);
    let stem = stem.strip_suffix(".oci").unwrap_or(stem);
    if stem.is_empty() { name } else { stem.to_owned() }
}

/// File names and tags may hold anything; an image's name is made of letters, digits and `. _ - / : @`.
fn plain(text: &str) -> String {
    let keep = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' | '/' | ':' | '@' => c,
        _ => '-',
    };
    text.chars().map(keep).collect()
}

impl FromStr for SourceSpec {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if let Some(reference) = text.strip_prefix("docker://") {
            return Ok(Self::Registry(reference.parse()?));
        }
        match text.split_once(':') {
            Some(("oci", rest)) => {
                let (dir, choice) = split_path(text, rest)?;
                Ok(Self::OciLayout { dir, choice: choice.map(str::parse).transpose()? })
            }
            Some(("oci-archive", rest)) => {
                let (file, choice) = split_path(text, rest)?;
                Ok(Self::OciArchive { file, choice: choice.map(str::parse).transpose()? })
            }
            Some(("docker-archive", rest)) => {
                let (file, choice) = split_path(text, rest)?;
                Ok(Self::DockerArchive { file, choice: choice.map(str::parse).transpose()? })
            }
            _ => Err(SourceError::UnknownTransport { text: text.to_owned(), guess: guess(text) }),
        }
    }
}

/// `PATH[:REST]`: a path ends at the first colon, as in skopeo.
fn split_path<'a>(text: &str, rest: &'a str) -> Result<(PathBuf, Option<&'a str>), SourceError> {
    let (path, after) = match rest.split_once(':') {
        Some((path, after)) => (path, Some(after)),
        None => (rest, None),
    };
    if path.is_empty() {
        return Err(SourceError::MalformedSource { text: text.to_owned(), reason: "the path is missing" });
    }
    if after.is_some_and(str::is_empty) {
        return Err(SourceError::MalformedSource {
            text: text.to_owned(),
            reason: "nothing stands after the last ':'",
        });
    }
    Ok((PathBuf::from(path), after))
}

/// What a text without a transport probably meant, in full.
fn guess(text: &str) -> Option<String> {
    if let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) {
        return rest.parse::<Reference>().is_ok().then(|| format!("docker://{rest}"));
    }
    let path = Path::new(text.split_once(':').map_or(text, |(path, _)| path));
    if path.join("index.json").is_file() {
        return Some(format!("oci:{text}"));
    }
    if path.is_file() {
        return Some(format!("oci-archive:{text} or docker-archive:{text}"));
    }
    text.parse::<Reference>().is_ok().then(|| format!("docker://{text}"))
}

impl FromStr for LayoutChoice {
    type Err = SourceError;

    /// A name begins with a letter or a digit (OCI image-spec, `annotations.md`), so none is taken for a digest.
    fn from_str(text: &str) -> Result<Self, SourceError> {
        match text.strip_prefix('@') {
            Some(digest) => Ok(Self::Digest(digest.parse()?)),
            None => Ok(Self::Tag(text.to_owned())),
        }
    }
}

impl fmt::Display for LayoutChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => write!(f, "@{digest}"),
        }
    }
}

impl FromStr for ArchiveChoice {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        match text.strip_prefix('@') {
            Some(index) => index.parse().map(Self::Index).map_err(|_| SourceError::MalformedSource {
                text: text.to_owned(),
                reason: "'@' is followed by the image's position, a number from 0",
            }),
            None => Ok(Self::Reference(text.parse()?)),
        }
    }
}

impl fmt::Display for ArchiveChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => f.write_str(&reference.familiar()),
            Self::Index(index) => write!(f, "@{index}"),
        }
    }
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of_path =
            |f: &mut fmt::Formatter<'_>, transport, path: &Path, choice: Option<&dyn fmt::Display>| {
                write!(f, "{transport}:{}", path.display())?;
                choice.map_or(Ok(()), |choice| write!(f, ":{choice}"))
            };
        match self {
            Self::Registry(reference) => write!(f, "docker://{reference}"),
            Self::OciLayout { dir, choice } => of_path(f, "oci", dir, choice.as_ref().map(|it| it as _)),
            Self::OciArchive { file, choice } => {
                of_path(f, "oci-archive", file, choice.as_ref().map(|it| it as _))
            }
            Self::DockerArchive { file, choice } => {
                of_path(f, "docker-archive", file, choice.as_ref().map(|it| it as _))
            }
        }
    }
}

/// Names, platforms or digests, for an error's reader; long lists are cut.
pub(super) fn list(names: &[impl fmt::Display]) -> String {
    const SHOWN: usize = 20;
    let shown = names.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "none".to_owned(),
        count if count > SHOWN => format!("{shown}, and {} more", count - SHOWN),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transport_reads_back_what_it_prints_and_has_a_name() {
        let digest = Digest::of(b"an image");
        let (by_digest, digest_name) = (format!("oci:py:@{digest}"), format!("py@{digest}"));
        for (text, printed, name) in [
            ("docker://debian", "docker://docker.io/library/debian:latest", "debian:latest"),
            ("docker://127.0.0.1:5000/a/b:1", "docker://127.0.0.1:5000/a/b:1", "127.0.0.1:5000/a/b:1"),
            ("oci:/srv/images/py:3.12", "oci:/srv/images/py:3.12", "py:3.12"),
            ("oci:py", "oci:py", "py"),
            ("oci:/", "oci:/", "image"),
            ("oci:py:quay.io/a/b:1", "oci:py:quay.io/a/b:1", "py:quay.io/a/b:1"),
            (&by_digest, &by_digest, &digest_name),
            ("oci-archive:/tmp/my app.tar", "oci-archive:/tmp/my app.tar", "my-app"),
            ("oci-archive:f.tar:v1", "oci-archive:f.tar:v1", "f:v1"),
            ("oci-archive:f.oci.tar", "oci-archive:f.oci.tar", "f"),
            ("oci-archive:.oci.tar", "oci-archive:.oci.tar", ".oci.tar"),
            ("docker-archive:f.tar", "docker-archive:f.tar", "f"),
            ("docker-archive:f.tar:debian", "docker-archive:f.tar:debian:latest", "debian:latest"),
            ("docker-archive:f.tar:@2", "docker-archive:f.tar:@2", "f"),
        ] {
            let spec: SourceSpec = text.parse().unwrap();
            assert_eq!(spec.to_string(), printed);
            assert_eq!(printed.parse::<SourceSpec>().unwrap(), spec);
            assert_eq!(spec.default_name(), name);
        }
    }

    #[test]
    fn a_text_without_a_transport_is_refused_with_every_transport_and_a_guess() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("index.json"), "{}").unwrap();
        let bare = dir.path().display().to_string();
        let error = bare.parse::<SourceSpec>().unwrap_err();
        for transport in ["docker://", "oci:", "oci-archive:", "docker-archive:"] {
            assert!(error.to_string().contains(transport), "{error}");
        }
        assert!(error.hint().unwrap().contains(&format!("oci:{bare}")));
        let error = "debian:12".parse::<SourceSpec>().unwrap_err();
        assert!(error.hint().unwrap().contains("docker://debian:12"));
        for text in [
            "oci:",
            "oci:x:",
            "docker://",
            "oci:x:@v1",
            "oci:x:@sha256:12",
            "docker-archive:f:@x",
            "dir:/x",
            "",
        ] {
            assert!(text.parse::<SourceSpec>().is_err(), "{text:?}");
        }
    }
}
