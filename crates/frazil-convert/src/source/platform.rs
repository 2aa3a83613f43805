//! The operating system and processor that an image is built for, in the words of Go's `GOOS`/`GOARCH`.
//!
//! Invariant: a `Platform` is normalised, so that `arm64` and `arm64/v8` are one value.
//! Format: OCI image-spec, `image-index.md`, "platform".

use std::fmt;
use std::str::FromStr;

use super::SourceError;

/// Longest accepted part of a platform's name: far above any that exists.
const MAX_PART_BYTES: usize = 64;

/// What an image runs on, for example `linux/amd64` or `linux/arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    /// A platform from its parts; processor names of other conventions (`x86_64`) are translated.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let (architecture, variant) = normalise(architecture, variant.filter(|variant| !variant.is_empty()));
        Self { os: os.to_owned(), architecture: architecture.to_owned(), variant: variant.map(str::to_owned) }
    }

    /// The platform of this process.
    pub fn host() -> Self {
        Self::new(std::env::consts::OS, std::env::consts::ARCH, None)
    }

    /// The operating system, as `GOOS` names it.
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The processor architecture, as `GOARCH` names it.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The processor variant; `None` is the architecture's baseline.
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// Whether an image for `offered` serves a user who asks for `self`: smaller is better, `None` is no.
    ///
    /// 32-bit ARM asked for without a variant takes the newest there is; every other architecture takes
    /// exactly what was asked, because a higher variant need not run here.
    pub(super) fn preference(&self, offered: &Self) -> Option<u8> {
        if !self.same_machine(offered) {
            return None;
        }
        if self.variant == offered.variant {
            return Some(0);
        }
        match (self.architecture.as_str(), self.variant(), offered.variant()) {
            ("arm", None, Some("v7")) => Some(1),
            ("arm", None, Some("v6")) => Some(2),
            ("arm", None, Some("v5")) => Some(3),
            _ => None,
        }
    }

    /// Equal but for the variant, which image configs often leave out.
    pub(super) fn same_machine(&self, other: &Self) -> bool {
        self.os == other.os && self.architecture == other.architecture
    }
}

fn normalise<'a>(architecture: &'a str, variant: Option<&'a str>) -> (&'a str, Option<&'a str>) {
    match (architecture, variant) {
        ("x86_64" | "x86-64" | "amd64", None | Some("v1")) => ("amd64", None),
        ("x86_64" | "x86-64", other) => ("amd64", other),
        ("aarch64" | "arm64", None | Some("v8" | "8")) => ("arm64", None),
        ("aarch64", other) => ("arm64", other),
        ("x86" | "i386" | "i686", other) => ("386", other),
        ("armhf", None) => ("arm", Some("v7")),
        ("armel", None) => ("arm", Some("v6")),
        ("powerpc64", other) if cfg!(target_endian = "little") => ("ppc64le", other),
        ("loongarch64", other) => ("loong64", other),
        other => other,
    }
}

fn is_part(part: &str) -> bool {
    !part.is_empty()
        && part.len() <= MAX_PART_BYTES
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

impl FromStr for Platform {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let malformed = || SourceError::MalformedPlatform { text: text.to_owned() };
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(|part| is_part(part)) {
            return Err(malformed());
        }
        match parts.as_slice() {
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(malformed()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn the_names_of_one_machine_are_one_platform() {
        assert_eq!(platform("linux/arm64/v8"), platform("linux/aarch64"));
        assert_eq!(platform("linux/x86_64"), platform("linux/amd64/v1"));
        assert_eq!(platform("linux/arm/v7").to_string(), "linux/arm/v7");
        assert_eq!(Platform::host().os(), "linux");
    }

    #[test]
    fn a_variant_that_may_not_run_is_never_chosen() {
        assert_eq!(platform("linux/amd64").preference(&platform("linux/amd64/v3")), None);
        assert_eq!(platform("linux/arm64").preference(&platform("linux/arm64/v8")), Some(0));
        assert!(
            platform("linux/arm").preference(&platform("linux/arm/v7"))
                < platform("linux/arm").preference(&platform("linux/arm/v6"))
        );
        assert_eq!(platform("linux/arm64").preference(&platform("windows/arm64")), None);
    }

    #[test]
    fn malformed_platforms_are_refused() {
        for text in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b"] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
    }
}
