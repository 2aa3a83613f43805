//! The class of an error, which decides what a caller does about it.

use std::fmt;
use std::io::ErrorKind;

use super::StoreError;

/// What a caller can do about an error: the only thing that retries and errnos look at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorClass {
    /// It is not there; trying again does not help.
    NotFound,
    /// It is there and wrong; trying again does not help, another copy might.
    Corrupt,
    /// It may work when it is tried again.
    Transient,
    /// It is refused: by permissions, by a read-only file system, or because the request makes no sense.
    Denied,
    /// There is no room for it.
    Full,
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::Corrupt => "corrupt",
            Self::Transient => "transient",
            Self::Denied => "denied",
            Self::Full => "full",
        })
    }
}

impl StoreError {
    /// What a caller can do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotAStore { .. }
            | Self::NoBucket { .. }
            | Self::NotFound { .. }
            | Self::NoSuchRoot { .. }
            | Self::ChunkNotFound { .. }
            | Self::KeyNotFound { .. } => ErrorClass::NotFound,
            Self::CorruptChunk { .. }
            | Self::Oversized { .. }
            | Self::Damaged { .. }
            | Self::UnreadableName { .. }
            | Self::BadManifest { .. }
            | Self::KeyDamaged { .. } => ErrorClass::Corrupt,
            Self::BadLocation { .. }
            | Self::LocationNotBuilt { .. }
            | Self::BadName { .. }
            | Self::BadPlainName { .. }
            | Self::Occupied { .. }
            | Self::UnknownFormat { .. }
            | Self::NoActiveRoot { .. }
            | Self::RootNotActive { .. }
            | Self::BadTransition { .. }
            | Self::LastActiveRoot { .. }
            | Self::RootInUse { .. }
            | Self::TooSoon { .. }
            | Self::AlarmStands { .. }
            | Self::ReadOnly { .. }
            | Self::PlainHttp { .. }
            | Self::KeyExposed { .. }
            | Self::KeyMismatch { .. }
            | Self::ScopeMismatch { .. }
            | Self::BadKeys { .. }
            | Self::RotatedElsewhere { .. }
            | Self::KeyRefused { .. } => ErrorClass::Denied,
            Self::CannotMakeKey { .. }
            | Self::Throttled { .. }
            | Self::Stalled { .. }
            | Self::Contended { .. } => ErrorClass::Transient,
            Self::Io { source, .. } => io_class(source.kind()),
            Self::Backend { class, .. } | Self::KeyService { class, .. } => *class,
        }
    }
}

fn io_class(kind: ErrorKind) -> ErrorClass {
    match kind {
        ErrorKind::NotFound => ErrorClass::NotFound,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => ErrorClass::Full,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => ErrorClass::Denied,
        ErrorKind::IsADirectory | ErrorKind::NotADirectory | ErrorKind::InvalidData => ErrorClass::Corrupt,
        _ => ErrorClass::Transient,
    }
}
