//! Errors of the operating system and of the object store crate, in the store's words.
//!
//! Those of the operating system keep their number and lose the object store crate's wrapping, whose messages repeat
//! their sources; so a printed chain says each thing once.

use std::error::Error;
use std::{fmt, io};

use object_store::path::Path;

use super::{ErrorClass, StoreError};

impl StoreError {
    /// An object that is not what it has to be.
    pub(crate) fn damaged(path: &Path, reason: impl fmt::Display) -> Self {
        Self::Damaged { path: path.to_string(), reason: reason.to_string() }
    }

    /// An error of the operating system.
    pub(crate) fn io(action: &'static str, path: impl fmt::Display, source: io::Error) -> Self {
        Self::Io { action, path: path.to_string(), source }
    }

    /// An error of the object store crate.
    pub(crate) fn backend(action: &'static str, path: impl fmt::Display, error: object_store::Error) -> Self {
        use object_store::Error as E;
        let path = path.to_string();
        #[cfg(feature = "cloud")]
        if let Some(crate::throttled::Throttled { status, after }) =
            crate::throttled::Throttled::in_chain(&error)
        {
            return Self::Throttled { action, path, status, after };
        }
        #[cfg(feature = "cloud")]
        if crate::published::OnlyRead::is_why(&error) {
            return Self::ReadOnly { action, path };
        }
        // An object that is to be written cannot be missing: its directory is, or its bucket.
        let is_missing = matches!(error, E::NotFound { .. });
        if is_missing && action != "write" {
            return Self::NotFound { path };
        }
        if let Some(code) = raw_os_error(&error) {
            return Self::io(action, path, io::Error::from_raw_os_error(code));
        }
        if is_missing {
            return Self::NoBucket { path };
        }
        let class = match error {
            E::PermissionDenied { .. }
            | E::Unauthenticated { .. }
            | E::NotSupported { .. }
            | E::NotImplemented { .. }
            | E::UnknownConfigurationKey { .. }
            | E::InvalidPath { .. } => ErrorClass::Denied,
            _ => ErrorClass::Transient,
        };
        Self::Backend { action, path, detail: error.to_string(), class }
    }
}

/// The errno at the bottom of an error's chain.
fn raw_os_error(error: &(dyn Error + 'static)) -> Option<i32> {
    causes(error).find_map(|error| error.downcast_ref::<io::Error>()?.raw_os_error())
}

/// An error and what caused it, from the outside to the inside.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    /// No crate nests deeper; a chain that loops must not hang.
    const MAX_DEPTH: usize = 16;
    std::iter::successors(Some(error), |&error| error.source()).take(MAX_DEPTH)
}
