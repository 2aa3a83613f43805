//! A sha256 content digest, as OCI descriptors write it: `sha256:` and 64 lowercase hex digits.
//!
//! The digest is the only name that ever becomes a path component of a layout, so it is parsed strictly: a
//! value of this type holds 32 bytes and nothing that could climb out of a directory.
//! Format: OCI image-spec, `descriptor.md`, "Digests".

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::SourceError;

const ALGORITHM: &str = "sha256";
const HEX_DIGITS: usize = 64;

/// The sha256 of a blob, a manifest or a config.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// A digest from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The digest of `data`.
    pub fn of(data: &[u8]) -> Self {
        Self(Sha256::digest(data).into())
    }

    /// The 64 hex digits without the algorithm: a blob's file name in an OCI layout.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads 64 lowercase hex digits, or nothing.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        if text.len() != HEX_DIGITS || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl FromStr for Digest {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let malformed = || SourceError::MalformedDigest { text: text.to_owned() };
        let (algorithm, digits) = text.split_once(':').ok_or_else(malformed)?;
        if algorithm != ALGORITHM {
            return Err(SourceError::UnsupportedDigest { text: text.to_owned() });
        }
        Self::from_hex(digits).ok_or_else(malformed)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_what_it_prints() {
        let digest = Digest::of(b"frazil");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
    }

    #[test]
    fn anything_but_lowercase_sha256_is_refused() {
        let hex = Digest::of(b"frazil").hex();
        for malformed in [
            hex.clone(),
            format!("sha256:{}", hex.to_uppercase().replace(char::is_numeric, "A")),
            format!("sha256:{}", &hex[1..]),
            "sha256:../../../../etc/passwd".to_owned(),
            format!("sha256:{}é", &hex[2..]),
        ] {
            assert!(
                matches!(malformed.parse::<Digest>(), Err(SourceError::MalformedDigest { .. })),
                "{malformed}"
            );
        }
        assert!(matches!("sha512:00".parse::<Digest>(), Err(SourceError::UnsupportedDigest { .. })));
    }
}
