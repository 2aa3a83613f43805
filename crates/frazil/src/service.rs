//! What a service manager tells a service and wants to be told: the two small protocols of systemd, without its
//! library (sd_listen_fds(3), sd_notify(3)).

use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

use anyhow::{Context, Result, ensure};

use crate::inherited::inherit;

/// Where handed-on descriptors start.
const FIRST_FD: i32 = 3;

/// The listening socket that this process was started with, if it was.
pub(crate) fn listener() -> Result<Option<UnixListener>> {
    let number = |name: &str| env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(None);
    }
    let Some(count @ 1..) = number("LISTEN_FDS") else { return Ok(None) };
    ensure!(count == 1, "this service takes one socket, and was started with {count}");
    let fd: OwnedFd =
        inherit(FIRST_FD).context("the socket that the service manager hands on is not open")?;
    let listener = UnixListener::from(fd);
    listener.local_addr().context("what the service manager hands on is not a Unix socket")?;
    Ok(Some(listener))
}

/// The service manager, if there is one, found while this process can still make sockets.
pub(crate) struct ServiceManager(Option<UnixDatagram>);

impl ServiceManager {
    pub(crate) fn find() -> Self {
        let Some(place) = env::var_os("NOTIFY_SOCKET") else { return Self(None) };
        let found = || -> io::Result<UnixDatagram> {
            let address = match place.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
                path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
            };
            let socket = UnixDatagram::unbound()?;
            socket.connect_addr(&address)?;
            Ok(socket)
        };
        Self(found().map_err(|error| failed(&error)).ok())
    }

    /// Tells it: `READY=1`, `STOPPING=1`.
    pub(crate) fn tell(&self, state: &str) {
        if let Some(Err(error)) = self.0.as_ref().map(|socket| socket.send(state.as_bytes())) {
            failed(&error);
        }
    }
}

fn failed(error: &io::Error) {
    tracing::warn!(%error, "cannot tell the service manager");
}
