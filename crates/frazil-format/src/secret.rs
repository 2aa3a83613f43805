//! Secrets of 32 bytes. Each is a type of its own, wiped when dropped, silent when printed, and compared in
//! constant time.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::domains::{PROFILE_KEY, SCOPE_ID, SCOPE_RECORD};
use crate::{FormatError, ScopeId};

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Zeroizing<[u8; 32]>);

        impl $name {
            /// Wraps 32 bytes that already are such a secret.
            pub fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(Zeroizing::new(bytes))
            }

            /// The secret itself. Whoever copies it has to wipe the copy.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                same(&self.0, &other.0)
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

secret! {
    /// The secret of a sharing domain. Whoever holds it can test whether the domain's store has a chunk.
    ScopeSecret
}

secret! {
    /// The key of one manifest: it opens the chunk keys and the configuration of one image.
    DataKey
}

secret! {
    /// A tenant's key that wraps the data keys of its images.
    WrappingKey
}

secret! {
    /// The one-time key of one payload.
    ChunkKey
}

secret! {
    /// The key of all profiles and bundles of one manifest.
    ProfileKey
}

macro_rules! generated {
    ($name:ident) => {
        impl $name {
            /// A fresh random secret.
            ///
            /// # Errors
            /// [`FormatError::NoRandomness`].
            pub fn generate() -> Result<Self, FormatError> {
                random().map(|bytes| Self(Zeroizing::new(bytes)))
            }
        }
    };
}

generated!(ScopeSecret);
generated!(DataKey);
generated!(WrappingKey);

impl ScopeSecret {
    /// The scope's public id.
    pub fn id(&self) -> ScopeId {
        let derived = SCOPE_ID.derive(&[self.as_bytes()]);
        let (id, _) = derived.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
        ScopeId::from_bytes(*id)
    }

    /// What proves to the scope's holders that one of them wrote a record with this content.
    pub fn record_tag(&self, says: &str) -> [u8; 32] {
        *SCOPE_RECORD.derive(&[self.as_bytes(), says.as_bytes()])
    }

    /// Whether a holder of the scope wrote a record with this tag.
    pub fn vouches_for(&self, says: &str, tag: &[u8; 32]) -> bool {
        same(&self.record_tag(says), tag)
    }
}

impl DataKey {
    /// The key of the manifest's profiles and bundles. It opens nothing else.
    pub fn profile_key(&self) -> ProfileKey {
        ProfileKey(PROFILE_KEY.derive(&[self.as_bytes()]))
    }
}

impl ChunkKey {
    pub(crate) fn from_derived(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }
}

/// Whether two values are the same, in a time that does not depend on where they differ.
pub(crate) fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.ct_eq(other).into()
}

/// 32 bytes from the kernel's random generator.
pub(crate) fn random() -> Result<[u8; 32], FormatError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| FormatError::NoRandomness)?;
    Ok(bytes)
}
