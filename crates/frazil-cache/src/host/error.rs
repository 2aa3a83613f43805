//! What goes wrong with the host cache itself; what goes wrong with a chunk is a [`TierError`].
//!
//! [`TierError`]: crate::TierError

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use frazil_store::{ErrorClass, StoreError};

use super::protocol::ProtocolError;

/// Why the host cache did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HostError {
    /// Another process serves this socket.
    #[error("{path} is served by another process")]
    AlreadyServed {
        /// The socket.
        path: PathBuf,
    },
    /// Another process has this socket's lock, and nobody can reach it.
    #[error("{path} is missing although another process holds {path}.lock; fuser {path}.lock names it")]
    SocketGone {
        /// The socket.
        path: PathBuf,
    },
    /// What lies at the socket's path is something else.
    #[error("{path} exists and is not a socket")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused something about the socket.
    #[error("cannot {action} {path}")]
    Socket {
        /// What was tried.
        action: &'static str,
        /// The socket, or a file beside it.
        path: PathBuf,
        /// What the operating system says.
        source: Arc<io::Error>,
    },
    /// Nobody answered at the socket while patience lasted.
    #[error("the host cache at {path} did not answer within {patience_ms} ms")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// How long it was tried, in milliseconds.
        patience_ms: u64,
        /// Why the last attempt failed.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The host cache takes no requests of this process's user.
    #[error("the host cache at {path} refuses this user")]
    PeerRefused {
        /// The socket.
        path: PathBuf,
    },
    /// The other side does not speak the protocol.
    #[error("the host cache at {path} cannot be understood")]
    Protocol {
        /// The socket.
        path: PathBuf,
        /// What is wrong.
        source: ProtocolError,
    },
    /// A name or a manifest could not be looked up.
    #[error("cannot look up {what}")]
    LookUp {
        /// The name or the manifest.
        what: String,
        /// What can be done about it.
        class: ErrorClass,
        /// Why not.
        source: Arc<dyn Error + Send + Sync>,
    },
}

/// What a process on the other side of the socket said.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Remark(pub(crate) String);

impl HostError {
    /// What a caller can do about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::AlreadyServed { .. }
            | Self::SocketGone { .. }
            | Self::NotASocket { .. }
            | Self::PeerRefused { .. }
            | Self::Protocol { .. } => ErrorClass::Denied,
            Self::Socket { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => ErrorClass::Denied,
                io::ErrorKind::NotFound => ErrorClass::NotFound,
                _ => ErrorClass::Transient,
            },
            Self::Unreachable { .. } => ErrorClass::Transient,
            Self::LookUp { class, .. } => *class,
        }
    }

    /// A store's answer to a look-up.
    pub(crate) fn from_store(what: String, error: StoreError) -> Self {
        Self::LookUp { what, class: error.class(), source: Arc::new(error) }
    }

    /// A look-up that failed for a reason in words.
    pub(crate) fn remark(what: String, class: ErrorClass, remark: impl Into<String>) -> Self {
        Self::LookUp { what, class, source: Arc::new(Remark(remark.into())) }
    }
}
