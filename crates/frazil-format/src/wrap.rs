//! Wrapping: a manifest's data key, sealed by its tenant's wrapping key for one tenant and one image name.
//!
//! Wrapped bytes are `version ‖ salt ‖ sealed data key`; the wrapping context takes part in the key, so that a
//! wrapped key opens for the tenant and name that it was made for and for no other (docs/FORMAT.md, "Wrapped
//! keys"). A key management service in the cloud gives other bytes; only the local keyring gives these.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};
use zeroize::Zeroizing;

use crate::cipher::{self, OneTimeKey, TAG_LEN};
use crate::domains::KEY_WRAPPING;
use crate::{DataKey, FormatError, WrappingKey, secret};

const VERSION: u8 = 1;

/// A data key as a key provider wrapped it, with what the provider needs to unwrap it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WrappedKey {
    /// Which provider wrapped it.
    pub provider: String,
    /// Which of the provider's keys wrapped it.
    pub key_id: String,
    /// The wrapped data key, in the provider's own format.
    pub bytes: Vec<u8>,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Record {
    version: u8,
    salt: [u8; 32],
    sealed: [u8; 32 + TAG_LEN],
}

impl WrappingKey {
    /// Wraps a data key for one context ([`crate::wrap_context`]).
    ///
    /// # Errors
    /// [`FormatError::NoRandomness`].
    pub fn wrap(&self, data_key: &DataKey, context: &[u8]) -> Result<Vec<u8>, FormatError> {
        self.wrap_with_salt(data_key, context, secret::random()?)
    }

    pub(crate) fn wrap_with_salt(
        &self,
        data_key: &DataKey,
        context: &[u8],
        salt: [u8; 32],
    ) -> Result<Vec<u8>, FormatError> {
        let sealed = OneTimeKey::new(self.one_time_key(&salt, context))
            .seal(data_key.as_bytes())
            .map_err(|cipher::CannotSeal| FormatError::CannotSeal { what: "data key" })?;
        Ok([&[VERSION], salt.as_slice(), &sealed].concat())
    }

    /// Unwraps a data key.
    ///
    /// # Errors
    /// [`FormatError::NotAuthentic`] with another key or context than it was wrapped with.
    pub fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<DataKey, FormatError> {
        let record = Record::ref_from_bytes(wrapped).map_err(|_| FormatError::WrongLength {
            what: "wrapped data key",
            expected: size_of::<Record>() as u64,
            present: wrapped.len() as u64,
        })?;
        if record.version != VERSION {
            let (what, version, supported) = ("wrapped data key", record.version.into(), VERSION.into());
            return Err(FormatError::UnknownVersion { what, version, supported });
        }
        let mut data_key = Zeroizing::new([0; 32]);
        cipher::open_into(&self.one_time_key(&record.salt, context), &record.sealed, &mut *data_key)
            .map_err(|cipher::NotAuthentic| FormatError::NotAuthentic { what: "wrapped data key" })?;
        Ok(DataKey::from_bytes(*data_key))
    }

    fn one_time_key(&self, salt: &[u8; 32], context: &[u8]) -> Zeroizing<[u8; 32]> {
        KEY_WRAPPING.derive(&[self.as_bytes(), salt, context])
    }
}
