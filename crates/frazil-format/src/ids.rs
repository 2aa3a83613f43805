//! The names of things: every identifier is a type of its own, so that a chunk id can never stand where a
//! diff id is meant. All of them print and parse as lower-case hexadecimal.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::FormatError;

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Wraps 32 bytes that already are such an id.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The id's 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = FormatError;

            fn from_str(text: &str) -> Result<Self, FormatError> {
                let mut bytes = [0; 32];
                let decoded = hex::decode_to_slice(text, &mut bytes);
                // One spelling only: if two texts could be the same name, one object would become two.
                if decoded.is_err() || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    return Err(FormatError::NotAnId { kind: stringify!($name), text: text.to_owned() });
                }
                Ok(Self(bytes))
            }
        }
    };
}

hash_id! {
    /// The BLAKE3 of a sealed chunk's bytes: its name in every store and cache.
    ChunkId
}

hash_id! {
    /// The BLAKE3 of a manifest's header, which in turn holds the hash of every section of the manifest.
    ManifestId
}

hash_id! {
    /// The SHA-256 of a layer's uncompressed tar archive, as the OCI image configuration lists it.
    DiffId
}

hash_id! {
    /// The name of a layer index in a store: a keyed hash of the layer's diff id and of the parameters that
    /// shaped it, so that a store's operator learns nothing of which public layers a tenant uses.
    LayerIndexId
}

hash_id! {
    /// The name of a bundle, drawn at random when it is made: the keys of its segments derive from it.
    BundleId
}

hash_id! {
    /// What a profile is of: the BLAKE3 of a command, or of the word that a mount was given. It is never outside of
    /// a sealed file.
    LabelId
}

impl ChunkId {
    /// The id of these sealed bytes.
    pub fn of(sealed: &[u8]) -> Self {
        Self(*blake3::hash(sealed).as_bytes())
    }
}

/// A generation of a store. Roots count up from [`RootId::FIRST`]; the number takes part in every chunk key,
/// so that a fault in one root cannot spread into the next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct RootId(u32);

impl RootId {
    /// The root that a new store starts with.
    pub const FIRST: Self = Self(1);

    /// The root of this number.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The root's number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for RootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

impl FromStr for RootId {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let not_an_id = || FormatError::NotAnId { kind: "RootId", text: text.to_owned() };
        let number = text.parse().map_err(|_| not_an_id())?;
        let root = Self(number);
        if root.to_string() == text { Ok(root) } else { Err(not_an_id()) }
    }
}

/// The public name of a scope, derived from its secret: two scopes with one secret are one scope.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ScopeId([u8; 16]);

impl ScopeId {
    /// Wraps 16 bytes that already are a scope id.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id's 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopeId({self})")
    }
}
