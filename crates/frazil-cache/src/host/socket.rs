//! The socket's place in the file system: who owns it, and what a server that was killed left behind.
//!
//! Invariant: whoever holds the lock file beside the socket is the only one who binds, replaces or removes it. The
//! lock file stays: removing it would let two servers lock two files.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::HostError;

/// The longest path that the kernel takes for a socket, in bytes.
const MAX_PATH_LEN: usize = 107;

/// A socket that is listened on.
#[derive(Debug)]
pub struct HostSocket {
    listener: UnixListener,
    place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// Held, and let go by whatever way this process ends.
    _lock: File,
}

impl HostSocket {
    /// Binds the socket at `path` with these permissions, replacing one that nobody serves any more.
    ///
    /// # Errors
    /// [`HostError::AlreadyServed`] while another process serves it, [`HostError::SocketGone`] if it does so in vain;
    /// [`HostError::NotASocket`]; [`HostError::Socket`] with what the operating system says.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, HostError> {
        if path.as_os_str().len() > MAX_PATH_LEN {
            let long = io::Error::new(io::ErrorKind::InvalidInput, "the path is longer than 107 bytes");
            return Err(refused("bind", path)(long));
        }
        let lock = lock(path)?;
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(refused("bind", path))?;
        // Until here it was nobody's but ours, or our umask's.
        std::fs::set_permissions(path, Permissions::from_mode(mode)).map_err(refused("open up", path))?;
        Ok(Self { listener, place: Some(Place { path: path.to_owned(), _lock: lock }) })
    }

    /// A socket that was bound by the process that started this one, and that stays when this one ends.
    pub fn inherited(listener: UnixListener) -> Self {
        Self { listener, place: None }
    }

    /// Another handle to the listening socket.
    pub(crate) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for HostSocket {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            // Agents that find nothing try again, as do those that are refused.
            let _ = std::fs::remove_file(&place.path);
        }
    }
}

fn lock(socket: &Path) -> Result<File, HostError> {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    // A link here would lock somebody else's file.
    options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    let file = options.open(&path).map_err(refused("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) if socket.symlink_metadata().is_ok() => {
            Err(HostError::AlreadyServed { path: socket.to_owned() })
        }
        Err(TryLockError::WouldBlock) => Err(HostError::SocketGone { path: socket.to_owned() }),
        Err(TryLockError::Error(error)) => Err(refused("lock", &path)(error)),
    }
}

fn remove_stale(path: &Path) -> Result<(), HostError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(refused("look at", path)(error)),
        Ok(found) if !found.file_type().is_socket() => Err(HostError::NotASocket { path: path.to_owned() }),
        Ok(_) => std::fs::remove_file(path).map_err(refused("replace", path)),
    }
}

fn refused<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> HostError + use<'a> {
    move |source| HostError::Socket { action, path: path.to_owned(), source: Arc::new(source) }
}
